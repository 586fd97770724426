"""The augmentation operations: each draws its parameters per row, then applies them as a pure function.

To add one: declare its settings in `schemas.job.recipes`, write its `draw` and `apply`, and give it a line in
`OPERATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from kornia.geometry.transform import hflip, vflip, warp_affine
from torch import Tensor

from hardset.pipeline.augment.streams import Stream
from hardset.schemas.job.recipes import Crop, GaussianNoise, Rotate

Parameters = Mapping[str, Tensor]
"""What was drawn, by name: one scalar per row, (N,), bool, int64 or float64, so that JSON holds it exactly."""


@dataclass(frozen=True)
class Operation:
    """One augmentation. Whether it applies to a row is drawn and handled outside (`applied`)."""

    draw: Callable[[Any, Stream], Parameters]
    """Settings and the rows' random stream to each row's parameters."""
    apply: Callable[[Tensor, Parameters, Stream], Tensor]
    """Images in [0, 1], float32 N x C x H x W, and their parameters to images of the same shape.

    The result may leave [0, 1]. The stream is for noise, which is too large to be stored as a parameter.
    """


def _nothing(spec: object, stream: Stream) -> Parameters:
    return {}


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


def _draw_std(spec: GaussianNoise, stream: Stream) -> Parameters:
    return {"std": torch.full(stream.seeds.shape, float(spec.std), dtype=torch.float64, device=stream.seeds.device)}


def _add_noise(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    """Adds normal noise, drawn anew from the row's seed each time."""
    return images + parameters["std"].to(images.dtype)[:, None, None, None] * stream.normal(0, tuple(images.shape[1:]))


OPERATIONS: Mapping[str, Operation] = {
    "hflip": Operation(_nothing, _flip_horizontally),
    "vflip": Operation(_nothing, _flip_vertically),
    "rotate": Operation(_draw_angle, _rotate),
    "crop": Operation(_draw_corner, _crop),
    "gaussian_noise": Operation(_draw_std, _add_noise),
}
"""Operations by the `name` of their declaration."""
