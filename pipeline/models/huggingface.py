"""Image classifiers of the transformers library: a folder with config.json, safetensors and a preprocessor's JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hardset.pipeline.models.saved import SavedNetwork, extra
from hardset.pipeline.models.weights import read_folder
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.digests import digest, sha256_hex
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.network import Input, Normalize

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_WHITE = 255
"""Value of white before the preprocessor scales it."""

_BICUBIC = (1, 3)
"""Numbers that Pillow gives to Lanczos' filter, which bicubic interpolation is nearest to, and to bicubic itself."""


class _Called(nn.Module):
    """A model of the library, which takes its images by name."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


def read_files(url: str, at: str) -> dict[str, bytes]:
    """JSON and safetensors files by name, of a folder at any fsspec URL, `hf://owner/name` for one of the Hub.

    Raises JobError where the folder holds no model, or only pickles.
    """
    return read_folder(url, at, lambda names: _chosen(names, public_name(url)))


def files_sha256(files: Mapping[str, bytes]) -> str:
    """Digest over names and SHA-256 of the files that fix the model."""
    return digest({name: sha256_hex(data) for name, data in files.items()})


def load(files: Mapping[str, bytes], url: str, at: str) -> SavedNetwork:
    """The classifier in the files of a folder; runs none of their code. Raises JobError for other models."""
    if b'"pretrained_cfg"' in files[_CONFIG]:
        raise JobError(f"{at}.format: {public_name(url)} is a folder of timm's; set format: timm")
    transformers: Any = extra("transformers", "huggingface", at)
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            (Path(place) / name).write_bytes(data)
        try:
            model = transformers.AutoModelForImageClassification.from_pretrained(
                place, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
        except Exception as error:  # the library raises whatever its models raise
            raise JobError(
                f"{at}.weights: {public_name(url)}: transformers cannot load it as an image classifier: "
                f"{type(error).__name__}: {one_line(error)}"
            ) from error
    labels = getattr(model.config, "id2label", None) or {}
    names = tuple(str(labels[number]) for number in sorted(labels))
    try:
        settings = _settings(files.get(_PREPROCESSOR))
        return SavedNetwork(
            network=_Called(model),
            normalize=_normalize(settings),
            input=_input(settings),
            size=_size(settings),
            interpolation="bicubic" if settings.get("resample") in _BICUBIC else "bilinear",
            class_names=None if all(name.startswith("LABEL_") for name in names) else names,
        )
    except (TypeError, ValueError) as error:
        raise JobError(
            f"{at}.weights: {public_name(url)}: {_PREPROCESSOR} is not what save_pretrained writes: {one_line(error)}"
        ) from None


def _chosen(names: Iterable[str], folder: str) -> list[str]:
    """The JSON and safetensors files, in order of the names."""
    found = sorted(name for name in names if name.endswith((".json", ".safetensors")) and not name.startswith("."))
    if _CONFIG not in found:
        raise JobError(f"{folder}: has no {_CONFIG}; wants what save_pretrained wrote")
    if not any(name.endswith(".safetensors") for name in found):
        raise JobError(
            f"{folder}: has no .safetensors file; pickles are not read: write the model anew with "
            "save_pretrained(folder, safe_serialization=True)"
        )
    return found


def _settings(data: bytes | None) -> Mapping[str, Any]:
    found = json.loads(data) if data is not None else {}
    return found if isinstance(found, dict) else {}


def _normalize(settings: Mapping[str, Any]) -> Normalize | None:
    mean, std = settings.get("image_mean"), settings.get("image_std")
    if not settings.get("do_normalize", mean is not None) or mean is None or std is None:
        return None
    return Normalize(mean=tuple(mean), std=tuple(std))


def _input(settings: Mapping[str, Any]) -> Input | None:
    if not settings:
        return None
    factor = float(settings.get("rescale_factor", 1 / _WHITE)) if settings.get("do_rescale", True) else 1.0
    black = -1.0 if settings.get("rescale_offset") and settings.get("do_rescale", True) else 0.0
    white = factor * _WHITE + black
    if abs(white - 1) < 1e-6 and black == 0:
        return None
    return Input(range=(black, white))


def _size(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width after resizing and cropping; None where the images keep theirs."""
    crop, size = settings.get("crop_size"), settings.get("size")
    if settings.get("do_center_crop") and crop is not None:
        return _sides(crop)
    return _sides(size) if settings.get("do_resize", True) and size is not None else None


def _sides(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and {"height", "width"} <= size.keys():
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return None
