"""Operations that move pixels."""

from __future__ import annotations

import math

import torch
from kornia.geometry.transform import hflip, vflip, warp_affine
from torch import Tensor

from hardset.pipeline.augment.operation import Operation, Parameters, nothing
from hardset.pipeline.augment.streams import Stream
from hardset.schemas.job.operations.geometry import Crop, HorizontalFlip, Rotate, VerticalFlip


def _flip_horizontally(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    flipped: Tensor = hflip(images)
    return flipped


def _flip_vertically(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    flipped: Tensor = vflip(images)
    return flipped


def _draw_angle(spec: Rotate, stream: Stream) -> Parameters:
    return {"degrees": (2 * stream.uniform(0) - 1) * spec.degrees}


def _rotate(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    """Turns counter-clockwise about the centre, bilinear; what comes in from outside is 0."""
    height, width = images.shape[-2:]
    x, y = (width - 1) / 2, (height - 1) / 2
    rows = []
    for degrees in parameters["degrees"].tolist():
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        rows.append([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])
    matrices = torch.tensor(rows, dtype=images.dtype, device=images.device)
    turned: Tensor = warp_affine(
        images, matrices, (height, width), mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return turned


def _draw_corner(spec: Crop, stream: Stream) -> Parameters:
    places = 2 * spec.padding + 1
    return {name: stream.integers(number, places) - spec.padding for number, name in enumerate(("top", "left"))}


def _crop(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    """Cuts the original size out with its corner at (top, left) of the image; what lies outside is 0. Exact."""
    _, _, height, width = images.shape
    down = torch.arange(height, device=images.device) + parameters["top"][:, None]
    right = torch.arange(width, device=images.device) + parameters["left"][:, None]
    inside = ((down >= 0) & (down < height))[:, None, :, None] & ((right >= 0) & (right < width))[:, None, None, :]
    rows = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
    moved = images[
        rows,
        channels,
        down.clamp(0, height - 1)[:, None, :, None],
        right.clamp(0, width - 1)[:, None, None, :],
    ]
    return moved * inside


GEOMETRY = (
    Operation(HorizontalFlip, nothing, _flip_horizontally),
    Operation(VerticalFlip, nothing, _flip_vertically),
    Operation(Rotate, _draw_angle, _rotate),
    Operation(Crop, _draw_corner, _crop),
)
