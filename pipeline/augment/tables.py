"""Operations that look every value up in a table of 256 entries: exact, and one pass over the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.draws import numbers, wholes
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation, nothing
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.tables import (
    AutoContrast,
    Brightness,
    Clahe,
    Contrast,
    Equalize,
    Gamma,
    Invert,
    Posterize,
    Solarize,
    ToneCurve,
)

LEVELS = np.arange(256)
_MIDDLE = 128
_INVERTED = (255 - LEVELS).astype(np.uint8)


def looked_up(image: Pixels, table: NDArray[Any]) -> Pixels:
    """Image after a table of 256 numbers, or of 256 x channels, which are rounded half to even and clipped."""
    levels = table if table.dtype == np.uint8 else np.rint(table).clip(0, 255).astype(np.uint8)
    return cv2.LUT(image, levels if levels.ndim == 1 else levels[None]).reshape(image.shape)


def luminance(image: Pixels) -> Pixels:
    """Luminance of ITU-R 601-2, (H, W): 0.299 red + 0.587 green + 0.114 blue; of a grey image its values."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[:, :, 0]


def scaled(image: Pixels, factor: float, added: float) -> Pixels:
    """Image times a factor plus a number of levels, rounded and clipped: no table, as arithmetic is twice as fast."""
    return cv2.addWeighted(image, factor, image, 0, added).reshape(image.shape)


def contrasted(image: Pixels, factor: float) -> Pixels:
    """Image whose distance from its mean luminance is multiplied."""
    mean = int(cv2.mean(luminance(image))[0] + 0.5)
    return scaled(image, factor, mean * (1 - factor))


def _brightness(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return scaled(image, drawn["factor"], 255 * drawn["amount"])


def _contrast(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return contrasted(image, drawn["factor"])


def _gamma(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return looked_up(image, 255 * (LEVELS / 255) ** drawn["gamma"])


def _invert(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return cv2.bitwise_not(image)


def _solarize(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    if drawn["threshold"] == _MIDDLE:  # of a value and its inverse the smaller one is below the middle
        return cv2.min(image, cv2.bitwise_not(image)).reshape(image.shape)
    return looked_up(image, np.where(drawn["threshold"] > LEVELS, LEVELS, _INVERTED).astype(np.uint8))


def _posterize(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return image & np.uint8(0xFF << (8 - drawn["bits"]) & 0xFF)


def _histogram(image: Pixels, channel: int) -> NDArray[np.int64]:
    return cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)


def _autocontrast(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return looked_up(image, _per_channel(image, _stretched))


def _equalize(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return looked_up(image, _per_channel(image, _evened))


def _per_channel(image: Pixels, table: Any) -> NDArray[np.uint8]:
    found = [table(_histogram(image, channel)) for channel in range(image.shape[2])]
    return np.ascontiguousarray(np.stack(found, axis=1))


def _stretched(histogram: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Table of Pillow's ImageOps.autocontrast, which rounds down."""
    present = histogram.nonzero()[0]
    low, high = int(present[0]), int(present[-1])
    if high <= low:
        return LEVELS.astype(np.uint8)
    scale = 255 / (high - low)
    return (LEVELS * scale - low * scale).clip(0, 255).astype(np.uint8)


def _evened(histogram: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Table of Pillow's ImageOps.equalize."""
    present = histogram[histogram > 0]
    step = int(present[:-1].sum()) // 255
    if not step:
        return LEVELS.astype(np.uint8)
    before = step // 2 + np.concatenate(([0], np.cumsum(histogram)[:-1]))
    return (before // step).clip(0, 255).astype(np.uint8)


def _clahe(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """Adds the change of the luminance to all channels, which keeps their differences."""
    before = np.ascontiguousarray(luminance(image))
    after = cv2.createCLAHE(drawn["limit"], (drawn["tiles"], drawn["tiles"])).apply(before)
    change = after.astype(np.int16) - before
    return (image + change[:, :, None]).clip(0, 255).astype(np.uint8)


def _draw_points(spec: ToneCurve, stream: Stream) -> Columns:
    most = stream.number(0, spec.strength)
    moves = (2 * stream.uniforms(1, 2) - 1) * most[:, None]
    return {"low": 1 / 3 + moves[:, 0], "high": 2 / 3 + moves[:, 1]}


def _tone_curve(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    at = LEVELS / 255
    curve = 3 * (1 - at) ** 2 * at * drawn["low"] + 3 * (1 - at) * at**2 * drawn["high"] + at**3
    return looked_up(image, 255 * curve)


TABLES = (
    LevelOperation(Brightness, numbers("amount", "factor"), _brightness),
    LevelOperation(Contrast, numbers("factor"), _contrast),
    LevelOperation(Gamma, numbers("gamma"), _gamma),
    LevelOperation(Invert, nothing, _invert),
    LevelOperation(Solarize, wholes("threshold"), _solarize),
    LevelOperation(Posterize, wholes("bits"), _posterize),
    LevelOperation(AutoContrast, nothing, _autocontrast),
    LevelOperation(Equalize, nothing, _equalize),
    LevelOperation(Clahe, numbers("limit", kept=("tiles",)), _clahe),
    LevelOperation(ToneCurve, _draw_points, _tone_curve),
)
