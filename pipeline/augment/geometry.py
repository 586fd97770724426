"""Operations that move whole pixels. The same values come out on every device."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from hardset.pipeline.augment.draws import same
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation, Parameters, nothing
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.base import Fill
from hardset.schemas.job.operations.geometry import D4, Crop, HorizontalFlip, Rotate90, Transpose, VerticalFlip

_TURNS = (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)


def _flip_horizontally(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return cv2.flip(image, 1)


def _flip_vertically(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return cv2.flip(image, 0)


def _draw_turns(spec: Rotate90, stream: Stream) -> Parameters:
    return {"turns": stream.whole(0, spec.turns) % 4}


def _turn(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return _turned(image, drawn["turns"])


def _turned(image: Pixels, turns: int) -> Pixels:
    """Image turned counter-clockwise by quarter turns, 0 to 3."""
    return cv2.rotate(image, _TURNS[turns - 1]).reshape(image.shape) if turns else image


def _transpose(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return cv2.transpose(image)


def _draw_symmetry(spec: D4, stream: Stream) -> Parameters:
    return {"turns": stream.integers(0, 4), "mirror": stream.integers(1, 2)}


def _symmetry(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """Mirrors left and right first, then turns."""
    mirrored = cv2.flip(image, 1).reshape(image.shape) if drawn["mirror"] else image
    return _turned(mirrored, drawn["turns"])


def _turn_tensors(images: Tensor, parameters: Parameters) -> Tensor:
    turned = images.clone()
    for turns in (1, 2, 3):
        rows = (parameters["turns"] == turns).nonzero()[:, 0]
        if len(rows):
            turned[rows] = images[rows].rot90(turns, (2, 3))
    return turned


def _symmetry_of_tensors(images: Tensor, parameters: Parameters) -> Tensor:
    mirrored = torch.where((parameters["mirror"] == 1)[:, None, None, None], images.flip(3), images)
    return _turn_tensors(mirrored, parameters)


def _draw_corner(spec: Crop, stream: Stream) -> Columns:
    places = 2 * spec.padding + 1
    corner = {name: stream.integers(number, places) - spec.padding for number, name in enumerate(("top", "left"))}
    return corner if spec.fill == 0 else {**corner, "fill": same(spec.fill, stream)}


def _crop(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """Cuts the original size out with its corner at (top, left) of the image. Exact."""
    top, left, (height, width, channels) = drawn["top"], drawn["left"], image.shape
    mode, value = border(image, drawn.get("fill", 0))
    if mode == cv2.BORDER_CONSTANT:
        found = np.zeros(image.shape, np.uint8)
        if value is not _BLACK:
            found[:] = value[:channels]
        rows, columns = (height - abs(top), width - abs(left))
        if rows > 0 and columns > 0:
            y, x, down, right = max(top, 0), max(left, 0), max(-top, 0), max(-left, 0)
            found[down : down + rows, right : right + columns] = image[y : y + rows, x : x + columns]
        return found
    sides = max(-top, 0), max(top, 0), max(-left, 0), max(left, 0)
    padded = cv2.copyMakeBorder(image, *sides, mode, value=value)
    return padded[max(top, 0) :, max(left, 0) :][:height, :width]


def _crop_tensors(images: Tensor, parameters: Parameters) -> Tensor:
    """As `_crop`, for padding with zeros."""
    _, channels, height, width = images.shape
    down = torch.arange(height, device=images.device) + parameters["top"][:, None]
    right = torch.arange(width, device=images.device) + parameters["left"][:, None]
    inside = ((down >= 0) & (down < height))[:, None, :, None] & ((right >= 0) & (right < width))[:, None, None, :]
    rows = torch.arange(len(images), device=images.device)[:, None, None, None]
    moved = images[
        rows,
        torch.arange(channels, device=images.device)[:, None, None],
        down.clamp(0, height - 1)[:, None, :, None],
        right.clamp(0, width - 1)[:, None, None, :],
    ]
    return moved * inside


_BLACK = (0.0,) * 4


def border(image: Pixels, fill: Fill) -> tuple[int, tuple[float, ...]]:
    """OpenCV's border type, and the value of each channel, for what comes in from outside."""
    if fill == 0:
        return cv2.BORDER_CONSTANT, _BLACK
    if fill == "edge":
        return cv2.BORDER_REPLICATE, ()
    if fill == "reflect":
        return cv2.BORDER_REFLECT_101, ()
    if fill == "mean":
        return cv2.BORDER_CONSTANT, tuple(float(np.rint(mean)) for mean in cv2.mean(image))
    return cv2.BORDER_CONSTANT, (float(fill),) * 4


GEOMETRY = (
    LevelOperation(HorizontalFlip, nothing, _flip_horizontally, lambda images, parameters: images.flip(3)),
    LevelOperation(VerticalFlip, nothing, _flip_vertically, lambda images, parameters: images.flip(2)),
    LevelOperation(Rotate90, _draw_turns, _turn, _turn_tensors),
    LevelOperation(Transpose, nothing, _transpose, lambda images, parameters: images.transpose(2, 3)),
    LevelOperation(D4, _draw_symmetry, _symmetry, _symmetry_of_tensors),
    LevelOperation(Crop, _draw_corner, _crop, _crop_tensors),
)
