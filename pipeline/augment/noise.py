"""Operations that add noise, from a generator keyed by the row."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.draws import numbers
from hardset.pipeline.augment.operation import Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream, normal_table
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise

_HALF = 1 << 15
_KEPT_TABLES = 64
_WORTH_A_TABLE = 8


@lru_cache(_KEPT_TABLES)
def _noise_levels(std: float) -> NDArray[np.int16]:
    """Noise in whole levels for each number of 16 bits. As values are whole, rounding it is rounding their sum."""
    return np.rint(normal_table() * np.float32(255 * std)).astype(np.int16)


@lru_cache(_KEPT_TABLES)
def _times_asked(std: float) -> list[int]:
    """How often small images asked for a strength: a table pays where many rows share it, not where each draws its
    own."""
    return [0]


def with_gaussian_noise(image: Pixels, std: float, stream: RowStream) -> Pixels:
    """Image plus independent normal noise; `std` on the [0, 1] pixel scale."""
    words, asked = stream.words(image.size), _times_asked(std)
    asked[0] += 1
    if image.size < 2 * _HALF and asked[0] < _WORTH_A_TABLE:
        noise = np.rint(normal_table().take(words) * np.float32(255 * std)).astype(np.int16)
    else:
        noise = _noise_levels(std).take(words)
    return cv2.add(image, noise.reshape(image.shape), dtype=cv2.CV_8U)


def rounded(values: NDArray[Any]) -> Pixels:
    """Numbers as levels: rounded half to even, and clipped."""
    whole = values if values.dtype.kind == "i" else np.rint(values)
    pixels: Pixels = np.clip(whole, 0, 255).astype(np.uint8)
    return pixels


def with_shot_noise(image: Pixels, photons: float, stream: RowStream) -> Pixels:
    """Image of Poisson counts; `photons` is the mean count of 255."""
    counts = stream.generator().poisson((np.arange(256) * (photons / 255))[image])
    return rounded(counts * (255 / photons))


def with_impulse_noise(image: Pixels, amount: float, stream: RowStream) -> Pixels:
    """Image a share of whose values is 0 or 255."""
    words = stream.words(image.size).reshape(image.shape)
    struck, white = round(amount * 2 * _HALF), round(amount * _HALF)
    return np.where(words < struck, np.where(words < white, np.uint8(255), np.uint8(0)), image)


def with_speckle_noise(image: Pixels, std: float, stream: RowStream) -> Pixels:
    """Image times 1 plus independent normal noise; `std` relative to the value."""
    return rounded(image * (1 + np.float32(std) * stream.normal(image.shape)))


def _change(function: Any, name: str) -> Any:
    def change(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
        changed: Pixels = function(image, drawn[name], stream)
        return changed

    return change


NOISE = (
    LevelOperation(GaussianNoise, numbers("std"), _change(with_gaussian_noise, "std")),
    LevelOperation(ShotNoise, numbers("photons"), _change(with_shot_noise, "photons")),
    LevelOperation(ImpulseNoise, numbers("amount"), _change(with_impulse_noise, "amount")),
    LevelOperation(SpeckleNoise, numbers("std"), _change(with_speckle_noise, "std")),
)
