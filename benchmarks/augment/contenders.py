"""The libraries as people use them on a CPU: uint8 rows in, uint8 rows out, each row with draws of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from benchmarks.augment.table import Line

from hardset.pipeline.augment.recipe import AugmentRecipe
from hardset.pipeline.batches import CleanRows
from hardset.schemas.job.recipes import Augment

Work = Callable[[np.ndarray], np.ndarray]
"""uint8 N x H x W x C -> the same."""
US = "hardset"
LIBRARIES = ("albumentations", "kornia", "torchvision")
_CPU = torch.device("cpu")


def _hardset(line: Line) -> Work:
    recipe = AugmentRecipe(Augment.model_validate({"ops": list(line.ops)}), batch=256, device=_CPU)

    def work(pixels: np.ndarray) -> np.ndarray:
        count = len(pixels)
        rows = CleanRows(pixels, np.zeros(count, np.int64), ("",) * count, np.arange(count))
        return recipe.make(rows, np.arange(count, dtype=np.int64)[:, None]).pixels

    return work


def _albumentations(calls: Any) -> Work:
    albumentations = import_module("albumentations")
    chain = albumentations.Compose([getattr(albumentations, name)(**{"p": 1.0, **given}) for name, given in calls])
    return lambda pixels: np.stack([chain(image=image)["image"] for image in pixels])


def _kornia(calls: Any) -> Work:
    kornia = import_module("kornia.augmentation")
    layers = torch.nn.Sequential(*(getattr(kornia, name)(**{"p": 1.0, **given}) for name, given in calls))

    def work(pixels: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            levels = (layers(images).clamp(0, 1) * 255).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous().numpy()

    return work


def _torchvision(calls: Any) -> Work:
    modes, v2 = import_module("torchvision.transforms").InterpolationMode, import_module("torchvision.transforms.v2")
    made = []
    for name, given in calls:
        mode = {"interpolation": modes(given["interpolation"])} if "interpolation" in given else {}
        made.append(getattr(v2, name)(**{**given, **mode}))
    chain = v2.Compose(made)

    def work(pixels: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        return torch.stack([chain(image) for image in images]).permute(0, 2, 3, 1).contiguous().numpy()

    return work


_MAKERS: dict[str, Callable[[Any], Work]] = {
    "albumentations": _albumentations,
    "kornia": _kornia,
    "torchvision": _torchvision,
}


def contender(line: Line, name: str) -> Work | None:
    """The operation as hardset or a library does it; None where the library has none. Raises what the library does."""
    if name == US:
        return _hardset(line)
    calls = getattr(line, name)
    return _MAKERS[name](calls) if calls else None
