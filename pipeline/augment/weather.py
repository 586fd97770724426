"""Operations that stand for weather."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.draws import numbers
from hardset.pipeline.augment.kernels import line_kernel, weighed
from hardset.pipeline.augment.noise import rounded
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.augment.tables import luminance
from hardset.pipeline.augment.textures import ice, plasma, splashes
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.weather import Fog, Frost, Rain, Snow, Spatter

WATER = np.array([175, 238, 238], np.float32)
MUD = np.array([63, 42, 20], np.float32)
_ICE = np.array([0.86, 0.93, 1.0], np.float32)
_RAIN = 200.0
_BRIGHTER, _ADDED = 1.5, 127.5
"""Luminance of ImageNet-C's snow: 1.5 times that of the image, plus half the range."""


def fogged(image: Pixels, amount: float, decay: float, stream: RowStream) -> Pixels:
    """Image plus `amount` times a plasma fractal, scaled back to the image's largest value."""
    height, width = image.shape[:2]
    top = float(image.max())
    haze = 255 * amount * plasma(height, width, decay, stream.generator())[:, :, None]
    return rounded((image + haze) * (top / max(top + 255 * amount, 1e-12)))


def frosted(image: Pixels, factor: float, added: float, stream: RowStream) -> Pixels:
    """`factor` times the image plus `added` times a texture of ice."""
    height, width, channels = image.shape
    texture = 255 * ice(height, width, stream.generator())[:, :, None]
    return rounded(factor * image + added * texture * (_ICE if channels == len(_ICE) else 1))


def bleached(image: Pixels, share: float) -> NDArray[np.float32]:
    """Image on the way to the larger of itself and its brightened luminance; not rounded."""
    values = image.astype(np.float32)
    bright = luminance(image)[:, :, None] * np.float32(_BRIGHTER) + np.float32(_ADDED)
    found: NDArray[np.float32] = (1 - share) * values + share * np.maximum(values, bright)
    return found


def _fog(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return fogged(image, drawn["amount"], drawn["decay"], stream)


def _frost(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return frosted(image, drawn["image"], drawn["ice"], stream)


def _draw_snow(spec: Snow, stream: Stream) -> Columns:
    return {**numbers("amount", "bleach")(spec, stream), "degrees": 45 + 90 * stream.uniform(2)}


def _snow(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    height, width = image.shape[:2]
    flakes = (stream.uniform((height, width)) < drawn["amount"]) * np.float32(255)
    kernel = line_kernel(max(3.0, min(height, width) / 24), drawn["degrees"])
    layer = weighed(flakes, kernel / kernel.max())
    return rounded(bleached(image, drawn["bleach"]) + layer[:, :, None])


def _rain(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    height, width = image.shape[:2]
    drops = (stream.uniform((height, width)) < drawn["drops"]).astype(np.float32)
    length = max(2.0, drawn["length"] * min(height, width))
    kernel = line_kernel(length, 90 - drawn["degrees"])
    cover = np.clip(weighed(drops, kernel / kernel.max()), 0, 1)[:, :, None] * np.float32(0.6)
    return rounded(0.9 * image * (1 - cover) + _RAIN * cover)


def _spatter(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    height, width = image.shape[:2]
    sigma = max(0.7, min(height, width) / 64)
    blobs = splashes(height, width, drawn["cover"], sigma, stream.generator())
    return spattered(image, np.sqrt(blobs) * np.float32(0.6 if drawn["kind"] == "water" else 1), drawn["kind"])


def spattered(image: Pixels, cover: NDArray[np.float32], kind: str) -> Pixels:
    """Image under a liquid; `cover` (H, W) in [0, 1]. Water adds its light, mud takes the image's place."""
    colour: Any = WATER if kind == "water" else MUD
    if image.shape[2] != len(colour):
        colour = np.float32(math.fsum(colour) / len(colour))
    over = cover[:, :, None]
    return rounded(image + over * colour if kind == "water" else image * (1 - over) + over * colour)


WEATHER = (
    LevelOperation(Fog, numbers("amount", "decay"), _fog),
    LevelOperation(Frost, numbers("image", "ice"), _frost),
    LevelOperation(Snow, _draw_snow, _snow),
    LevelOperation(Rain, numbers("drops", "length", "degrees"), _rain),
    LevelOperation(Spatter, numbers("cover", kept=("kind",)), _spatter),
)
