"""Image classifiers of the transformers library: a folder with config.json, safetensors and a preprocessor's JSON."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
from torch import Tensor, nn

from hardset.pipeline.extensions.imports import one_line
from hardset.pipeline.models.saved import SavedNetwork, extra
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Input, Normalize

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_WHITE = 255
"""Value of white before the preprocessor scales it."""


class _Called(nn.Module):
    """A model of the library, which takes its images by name."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


def folder_sha256(url: str, at: str) -> str:
    """Digest over names and SHA-256 of the files that fix the model. Raises JobError where the folder lacks them."""
    return digest({name: hashlib.sha256(data).hexdigest() for name, data in _files(url, at)})


def read(url: str, at: str) -> SavedNetwork:
    """The classifier in a folder at any fsspec URL, `hf://owner/name` for one of the Hub.

    Reads no pickles and runs no code of the folder. Raises JobError for other folders and models.
    """
    transformers: Any = extra("transformers", "huggingface", at)
    with tempfile.TemporaryDirectory() as place:
        for name, data in _files(url, at):
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
        settings = _json(Path(place) / _PREPROCESSOR)
    labels = getattr(model.config, "id2label", None) or {}
    names = tuple(str(labels[number]) for number in sorted(labels))
    return SavedNetwork(
        network=_Called(model),
        normalize=_normalize(settings),
        input=_input(settings),
        size=_size(settings),
        class_names=None if all(name.startswith("LABEL_") for name in names) else names,
    )


def _files(url: str, at: str) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the JSON and safetensors files of the folder, in order of the names."""
    try:
        system, path = fsspec.core.url_to_fs(url)
        found = {str(name).rsplit("/", 1)[-1]: name for name in system.ls(path, detail=False)}
    except (OSError, ValueError, ImportError) as error:
        raise JobError(f"{at}.weights: {public_name(url)}: is no folder that can be read: {one_line(error)}") from None
    if _CONFIG not in found:
        raise JobError(f"{at}.weights: {public_name(url)}: has no {_CONFIG}; wants what save_pretrained wrote")
    if not any(name.endswith(".safetensors") for name in found):
        raise JobError(
            f"{at}.weights: {public_name(url)}: has no .safetensors file; pickles are not read: write the model anew "
            "with save_pretrained(folder, safe_serialization=True)"
        )
    for name in sorted(found):
        if name.endswith((".json", ".safetensors")) and not name.startswith("."):
            yield name, system.cat_file(found[name])


def _json(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
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
