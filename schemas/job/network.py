"""A network as a job declares it: where it comes from, what it is fed, and what its outputs mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from hardset.schemas.base import Spec
from hardset.schemas.digests import canonical_json
from hardset.schemas.job.bounds import MOST_CLASSES

OWN_FACTORIES = "hardset.pipeline.models.zoo:"
"""What the import paths of hardset's own networks begin with."""
_OLD_FACTORIES = "pipeline.models.zoo:"
"""The same before 0.2.0, in job files and records; any other `pipeline` is the user's own."""


PROGRAMS = ("torchscript", "export")
"""Formats whose files are programs."""
NAMED = ("timm", "torchvision")
"""Formats of networks that a library knows by name."""


class Normalize(Spec):
    """Per-channel normalisation expected by the model; applied inside the model, so images stay in [0, 1]."""

    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    """Mean to subtract, one value per channel."""
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    """Standard deviation to divide by, one value per channel."""

    @model_validator(mode="after")
    def _paired(self) -> Normalize:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"std: has {len(self.std)} values and mean has {len(self.mean)}; wants one per channel in both"
            )
        return self


class Input(Spec):
    """What the network is fed, applied inside the model: channels, transpose, range, then `normalize`, then layout."""

    range: tuple[float, float] = (0.0, 1.0)
    """Values that black and white have, such as [0, 255] or [-1, 1]."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colour channels; OpenCV and Caffe have bgr."""
    transpose: bool = False
    """Whether rows and columns are swapped, as in EMNIST and some .mat files."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Order of the axes: TensorFlow has nhwc."""

    @model_validator(mode="after")
    def _apart(self) -> Input:
        if self.range[0] == self.range[1]:
            raise ValueError(f"range: got {list(self.range)}; wants two different values, those of black and white")
        return self


def _factory_or_format(schema: dict[str, Any]) -> None:
    """In JSON Schema the factory may be left out, which `format` decides."""
    schema["required"] = [name for name in schema.get("required", ()) if name != "factory"]


class Network(Spec):
    """A classifier: its factory, weights and normalisation."""

    model_config = ConfigDict(json_schema_extra=_factory_or_format)

    factory: (
        Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$", examples=["hardset.pipeline.models.zoo:small_cnn"])] | None
    )
    """Importable `package.module:function` that returns a torch module: NCHW images in, logits out. Only networks whose
    `format` is a kind of file that holds them whole leave it out."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the factory; any JSON values."""
    weights: str | None = None
    """State dict as .safetensors, or .pt/.pth read with weights_only; any fsspec URL. Unset: the factory's weights."""
    weights_key: Annotated[str, Field(min_length=1)] | None = None
    """Entry of a checkpoint that holds the state dict, such as state_dict_ema or model.ema with a dot between levels.
    Unset: the only one there is."""
    normalize: Normalize | None = None
    """Normalisation of the input. Unset: the model takes images in [0, 1]."""
    input: Input | None = None
    """Range, channel order and axes of the input. Unset: RGB in [0, 1], N x C x H x W."""
    output: Literal["logits", "auto"] | None = None
    """What the model returns. logits or unset: one tensor, N x classes. auto: also an object or mapping with `logits`,
    a tuple whose first item they are, or one logit for two classes, which becomes [0, z]."""
    output_order: Annotated[tuple[Annotated[int, Field(ge=0, lt=MOST_CLASSES)], ...], Field(min_length=2)] | None = None
    """Output of the model for each class of the source, in label order, where the model was trained with another order.
    Unset: the same order."""

    format: (
        Literal["factory", "huggingface", "timm", "torchvision", "keras", "onnx", "torchscript", "export"] | None
    ) = None
    """What the model comes as. factory or unset: code that builds it, and weights. huggingface: a folder with
    config.json and safetensors. timm: the same, or `architecture` and weights. torchvision: `architecture` and weights.
    keras: a .keras or .h5 file. onnx: an .onnx file. torchscript: torch.jit.save. export: torch.export.save."""
    architecture: Annotated[str, Field(min_length=1, examples=["resnet18"])] | None = None
    """Name of the network in timm or torchvision; arguments, weights and weights_key are as for a factory. Unset: the
    one that the folder of timm's names."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest that the weights must have, 64 hex digits. Needed for torchscript and export, whose files are programs."""
    trust: bool | None = None
    """Whether the program in the weights may run; needed for torchscript and export."""

    @model_validator(mode="before")
    @classmethod
    def _no_factory(cls, document: Any) -> Any:
        if isinstance(document, Mapping) and document.get("format") not in (None, "factory"):
            return {"factory": None, **document}
        return document

    @field_validator("factory")
    @classmethod
    def _canonical(cls, factory: str | None) -> str | None:
        old = factory is not None and factory.startswith(_OLD_FACTORIES)
        return OWN_FACTORIES + factory.removeprefix(_OLD_FACTORIES) if factory and old else factory

    @model_validator(mode="after")
    def _whole(self) -> Network:
        if self.architecture is not None and self.format not in NAMED:
            raise ValueError(f"architecture: is for format {' and '.join(NAMED)}; remove it, or set that")
        if self.format in (None, "factory"):
            if self.factory is None:
                raise ValueError("factory: got null; wants an importable package.module:function")
            return self
        if self.factory is not None and self.format in NAMED:
            raise ValueError(f"format: got {self.format}, which builds the network by its name; remove factory")
        if self.format == "torchvision" and self.architecture is None:
            raise ValueError("architecture: missing; wants the network's name in torchvision.models, such as resnet18")
        if self.factory is not None or (self.arguments and self.format not in NAMED):
            raise ValueError(f"format: got {self.format}, whose files hold the network; remove factory and arguments")
        if self.weights is None:
            raise ValueError(f"weights: missing; format {self.format} wants a file or folder")
        if self.format in PROGRAMS and not (self.trust and self.sha256):
            raise ValueError(
                f"trust: {self.format} files are programs, which run when they are loaded; set trust: true, and sha256 "
                "to the digest of the file that you trust (sha256sum FILE)"
            )
        return self

    @field_validator("arguments")
    @classmethod
    def _plain(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(json.loads(canonical_json(arguments)))
        except (TypeError, ValueError, RecursionError):
            raise ValueError("wants text, finite numbers, booleans, lists and mappings only") from None

    @field_validator("output_order")
    @classmethod
    def _permutes(cls, order: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if order is not None and len(set(order)) != len(order):
            raise ValueError("names an output twice; wants every class's own")
        return order

    def with_weights(self, url: str) -> Self:
        """The same network with a state dict of its own at a URL in place of its weights and what is said of those."""
        return self.model_copy(update={"weights": url, "weights_key": None, "sha256": None})

    @model_serializer(mode="wrap")
    def _without_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings that came after 0.1 are left out where they are unset, so that keys of older shards stay."""
        return {name: value for name, value in write(self).items() if name not in _LATER or value is not None}


_LATER = ("format", "architecture", "sha256", "trust", "weights_key", "input", "output", "output_order")
