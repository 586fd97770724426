"""Operations that take parts of the image away."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hardset.pipeline.augment.draws import numbers, same
from hardset.pipeline.augment.mixing import PARTNER, WITH
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.augment.warps import log_number
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.regions import Erase, GridMask, PixelDropout


def _draw_rectangle(spec: Erase, stream: Stream) -> Columns:
    partner = {PARTNER: stream.integers(4, 1 << 31)} if spec.needs_partner else {}
    return {
        **partner,
        "area": stream.number(0, spec.area),
        "ratio": log_number(stream, 1, spec.ratio),
        "y": stream.uniform(2),
        "x": stream.uniform(3),
        "fill": same(spec.fill, stream),
    }


def rectangle(shape: tuple[int, ...], drawn: Drawn) -> tuple[slice, slice]:
    """Rows and columns of a rectangle of a share of the area, height over width `ratio`, whose centre is at (x, y)."""
    height, width = shape[:2]
    tall = min(height, round(math.sqrt(drawn["area"] * height * width * drawn["ratio"])))
    wide = min(width, round(math.sqrt(drawn["area"] * height * width / drawn["ratio"])))
    top, left = (
        int(drawn[at] * (whole + 1)) - part // 2 for at, whole, part in (("y", height, tall), ("x", width, wide))
    )
    return slice(max(top, 0), max(top + tall, 0)), slice(max(left, 0), max(left + wide, 0))


def _erase(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    part, found, fill = rectangle(image.shape, drawn), image.copy(), drawn["fill"]
    if fill == "noise":
        inside = found[part]
        found[part] = (stream.words(inside.size) >> 8).astype(np.uint8).reshape(inside.shape)
    elif fill == PARTNER:
        found[part] = drawn[WITH][part]
    else:
        found[part] = np.rint(cv2.mean(image)[: image.shape[2]]) if fill == "mean" else fill
    return found


def _draw_grid(spec: GridMask, stream: Stream) -> Columns:
    return {
        "period": stream.whole(0, spec.period),
        "kept": stream.number(1, spec.kept),
        "y": stream.uniform(2),
        "x": stream.uniform(3),
        "fill": same(spec.fill, stream),
    }


def _grid_mask(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    period = drawn["period"]
    covered = round(period * (1 - drawn["kept"]))
    found = image.copy()
    bars = [
        (np.arange(side) + int(drawn[at] * period)) % period < covered
        for at, side in zip(("y", "x"), image.shape, strict=False)
    ]
    found[bars[0][:, None] & bars[1]] = drawn["fill"]
    return found


def _pixel_dropout(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    words = stream.words(image.shape[0] * image.shape[1]).reshape(image.shape[:2])
    found = image.copy()
    found[words < round(drawn["share"] * 65536)] = drawn["fill"]
    return found


REGIONS = (
    LevelOperation(Erase, _draw_rectangle, _erase),
    LevelOperation(GridMask, _draw_grid, _grid_mask),
    LevelOperation(PixelDropout, numbers("share", kept=("fill",)), _pixel_dropout),
)
