"""Images that operations are tried on: a photograph, cuts of it in odd sizes, grey, flat and noisy ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from hardset.pipeline.augment.operation import LevelOperation
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.augment.table import OPERATIONS, settled
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.recipes import Augment

NEEDED: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": 15},
    "crop": {"padding": 1},
    "gaussian_noise": {"std": 0.05},
    "corruption": {"corruption": "fog"},
    "one_of": {"ops": [{"name": "hflip", "p": 1}, {"name": "gaussian_noise", "std": 0.1}]},
    "some_of": {"ops": [{"name": "hflip"}, {"name": "rotate", "degrees": 30}, {"name": "impulse_noise"}]},
    "shuffle": {"ops": [{"name": "invert"}, {"name": "gaussian_noise", "std": 0.1}]},
}
"""Settings that operations cannot do without."""
SHAPES = [(1, 1, 1), (2, 3, 3), (7, 5, 1), (31, 45, 3), (64, 64, 3)]


@cache
def photograph(height: int = 96, width: int = 128, channels: int = 3) -> Pixels:
    """A cut of a photograph that scikit-learn brings, uint8 (H, W, C), read only."""
    from sklearn.datasets import load_sample_image

    found = np.ascontiguousarray(load_sample_image("flower.jpg")[150 : 150 + height, 230 : 230 + width])
    grey = np.rint(found.mean(axis=2, keepdims=True)).astype(np.uint8)
    image: Pixels = grey if channels == 1 else found
    image.flags.writeable = False
    return image


def document(name: str, **settings: Any) -> dict[str, Any]:
    """An operation as a job file has it, with what it cannot do without."""
    return {"name": name, **NEEDED.get(name, {}), **settings}


def settings_of(name: str, **settings: Any) -> OperationSettings:
    """The validated settings of an operation."""
    (spec,) = Augment.model_validate({"ops": [document(name, **settings)]}).ops
    return settled(spec)


def change(name: str, image: Pixels, seed: int = 5, **drawn: Any) -> Pixels:
    """An image after an operation with these drawn values."""
    found: LevelOperation = OPERATIONS[name]
    return found.change(image, drawn, RowStream(seed, 0)).reshape(image.shape)


def far(one: Any, other: Any) -> float:
    """Largest distance of two images, in levels."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).max())
