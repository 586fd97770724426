"""Operations that read pixels from places between pixels, by OpenCV's kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hardset.pipeline.augment.draws import manner_of, numbers, same
from hardset.pipeline.augment.geometry import border
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.warps import (
    Affine,
    Elastic,
    GridDistortion,
    OpticalDistortion,
    Perspective,
    RandomResizedCrop,
    Rotate,
    Scale,
    Shear,
    Translate,
)

_INTERPOLATION = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def _manner(spec: Any, stream: Stream) -> dict[str, list[Any]]:
    return {name: same(value, stream) for name, value in manner_of(spec).items()}


def _draw_angle(spec: Rotate, stream: Stream) -> Columns:
    if isinstance(spec.degrees, float | int):
        return {"degrees": (2 * stream.uniform(0) - 1) * spec.degrees, **_manner(spec, stream)}
    return {"degrees": stream.number(0, spec.degrees), **_manner(spec, stream)}


def _draw(*names: str) -> Any:
    """A draw of the settings of these names, with how the warp reads."""

    def draw(spec: Any, stream: Stream) -> Columns:
        return {**numbers(*names)(spec, stream), **_manner(spec, stream)}

    return draw


def _affine(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """Scales, shears, turns counter-clockwise and shifts about the centre; all but the shift in pixel coordinates."""
    height, width = image.shape[:2]
    angle, factor = math.radians(drawn.get("degrees", 0.0)), drawn.get("factor", 1.0)
    lean = math.tan(math.radians(drawn.get("shear", 0.0)))
    cos, sin = math.cos(angle), math.sin(angle)
    # From a place of the result back to one of the image; the y axis points down.
    back = [[(cos - lean * sin) / factor, (-sin - lean * cos) / factor], [sin / factor, cos / factor]]
    sides = (1, 1) if drawn.get("unit") == "pixels" else (width, height)
    shift = drawn.get("x", 0.0) * sides[0], drawn.get("y", 0.0) * sides[1]
    return warped(image, back, shift, drawn)


def _shear(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """Leans vertical lines first, then horizontal ones."""
    x, y = math.tan(math.radians(drawn["x"])), math.tan(math.radians(drawn["y"]))
    return warped(image, [[1 + x * y, -x], [-y, 1]], (0.0, 0.0), drawn)


def warped(image: Pixels, back: Sequence[Sequence[float]], shift: tuple[float, float], drawn: Drawn) -> Pixels:
    """Image read at `back` (place - centre - shift) + centre; `back` is 2 x 2, x before y."""
    height, width = image.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    (a, b), (c, d) = back
    to_x, to_y = x + shift[0], y + shift[1]
    matrix = np.array([[a, b, x - a * to_x - b * to_y], [c, d, y - c * to_x - d * to_y]])
    mode, value = border(image, drawn.get("fill", 0))
    flags = _INTERPOLATION[drawn.get("interpolation", "bilinear")] | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=mode, borderValue=value)


def _draw_corners(spec: Perspective, stream: Stream) -> Columns:
    most = stream.number(0, spec.distortion)
    moves = stream.uniforms(1, 8) * most[:, None] / 2
    return {"corners": moves.tolist(), **_manner(spec, stream)}


def _perspective(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """The corners of the image land at theirs moved inwards: shares of the sides, x before y, clockwise from the top
    left."""
    height, width = image.shape[:2]
    at = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    moved = at + inwards * np.reshape(drawn["corners"], (4, 2))
    # Corners of pixels, not their centres, so that an image of one pixel has four.
    start, end = ((one * (width, height) - 0.5).astype(np.float32) for one in (at, moved))
    matrix = cv2.getPerspectiveTransform(end, start)
    mode, value = border(image, drawn.get("fill", 0))
    flags = _INTERPOLATION[drawn.get("interpolation", "bilinear")] | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(image, matrix, (width, height), flags=flags, borderMode=mode, borderValue=value)


def _draw_rectangle(spec: RandomResizedCrop, stream: Stream) -> Columns:
    area, ratio = stream.number(0, spec.area), log_number(stream, 1, spec.ratio)
    sides = {"height": (area / ratio).sqrt().clamp(max=1), "width": (area * ratio).sqrt().clamp(max=1)}
    return {**sides, "top": stream.uniform(2), "left": stream.uniform(3), **_manner(spec, stream)}


def log_number(stream: Stream, parameter: int, amount: Any) -> torch.Tensor:
    """Numbers of an amount, of a range evenly in their logarithm."""
    if not hasattr(amount, "min"):
        return stream.number(parameter, amount)
    low, high = math.log(amount.min), math.log(amount.max)
    return (low + (high - low) * stream.uniform(parameter)).exp()


def _resized_crop(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """`height` and `width` are shares of the sides, `top` and `left` of the places that are left."""
    (height, width), sides = image.shape[:2], []
    for whole, share, place in ((height, drawn["height"], drawn["top"]), (width, drawn["width"], drawn["left"])):
        side = max(1, round(whole * share))
        first = int(place * (whole - side + 1))
        sides.append(slice(first, first + side))
    flag = _INTERPOLATION[drawn.get("interpolation", "bilinear")]
    return cv2.resize(image[sides[0], sides[1]], (width, height), interpolation=flag)


def _elastic(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    height, width = image.shape[:2]
    fields = []
    for use in (0, 1):
        noise = stream.uniform((height, width), use) - np.float32(0.5)
        field = cv2.GaussianBlur(noise, (0, 0), drawn["sigma"], borderType=cv2.BORDER_REFLECT_101)
        fields.append(field * np.float32(drawn["alpha"] / max(float(np.abs(field).max()), 1e-12)))
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    return remapped(image, columns + fields[0], rows + fields[1], drawn)


def remapped(image: Pixels, x: NDArray[np.float32], y: NDArray[np.float32], drawn: Drawn) -> Pixels:
    """Image read at places float32 (H, W), from 0 at the centre of the first pixel."""
    mode, value = border(image, drawn.get("fill", 0))
    flag = _INTERPOLATION[drawn.get("interpolation", "bilinear")]
    return cv2.remap(image, x, y, flag, borderMode=mode, borderValue=value)


def _draw_cells(spec: GridDistortion, stream: Stream) -> Columns:
    limit = stream.number(0, spec.limit)
    sides = {
        name: (1 + (2 * stream.uniforms(1 + number, spec.cells) - 1) * limit[:, None]).tolist()
        for number, name in enumerate(("columns", "rows"))
    }
    return {**sides, **_manner(spec, stream)}


def _grid_distortion(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """Cells of even size in the result are read from cells whose sides are as drawn."""
    height, width = image.shape[:2]
    x, y = (_stretched(side, drawn[name]) for side, name in ((width, "columns"), (height, "rows")))
    return remapped(image, np.tile(x, (height, 1)), np.tile(y[:, None], (1, width)), drawn)


def _stretched(side: int, cells: Sequence[float]) -> NDArray[np.float32]:
    ends = np.concatenate(([0.0], np.cumsum(cells)))
    even = np.linspace(0, side, len(ends))
    return (np.interp(np.arange(side) + 0.5, even, ends / ends[-1] * side) - 0.5).astype(np.float32)


def _optical_distortion(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    height, width = image.shape[:2]
    x, y = np.arange(width) - (width - 1) / 2, np.arange(height)[:, None] - (height - 1) / 2
    reach = 1 + drawn["strength"] * (x**2 + y**2) / max((width**2 + height**2) / 4, 1e-12)
    places = x * reach + (width - 1) / 2, y * reach + (height - 1) / 2
    return remapped(image, places[0].astype(np.float32), places[1].astype(np.float32), drawn)


WARPS = (
    LevelOperation(Rotate, _draw_angle, _affine),
    LevelOperation(Translate, _draw("x", "y"), _affine),
    LevelOperation(Shear, _draw("x", "y"), _shear),
    LevelOperation(Scale, _draw("factor"), _affine),
    LevelOperation(Affine, _draw("degrees", "factor", "x", "y", "shear"), _affine),
    LevelOperation(Perspective, _draw_corners, _perspective),
    LevelOperation(RandomResizedCrop, _draw_rectangle, _resized_crop),
    LevelOperation(Elastic, _draw("alpha", "sigma"), _elastic),
    LevelOperation(GridDistortion, _draw_cells, _grid_distortion),
    LevelOperation(OpticalDistortion, _draw("strength"), _optical_distortion),
)
