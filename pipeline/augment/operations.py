"""Augmentations: parameters are drawn from the row's key, then applied by a pure function of (images, parameters)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from kornia.geometry.transform import rotate as kornia_rotate
from torch import Tensor

from pipeline import rng
from schemas.recipes import Crop, GaussianNoise, HorizontalFlip, Operation, Rotate, VerticalFlip

STREAMS_PER_OPERATION = 64
_APPLIED, _FIRST, _SECOND = 0, 1, 2

Parameters = Mapping[str, Tensor]
"""One value per row under each name; `applied` is always there."""


@dataclass(frozen=True)
class Rows:
    """Row seeds and the operation's place in the recipe: where its random values come from."""

    seeds: Tensor
    position: int

    def uniform(self, parameter: int, shape: tuple[int, ...] = ()) -> Tensor:
        """float32 in [0, 1), (N, *shape)."""
        return rng.uniform(self.seeds, self._draw(parameter), shape)

    def integers(self, parameter: int, high: int) -> Tensor:
        """int64 in [0, high), (N,)."""
        return rng.integers(self.seeds, self._draw(parameter), high)

    def normal(self, parameter: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal, (N, *shape)."""
        return rng.normal(self.seeds, self._draw(parameter), shape)

    def _draw(self, parameter: int) -> int:
        return rng.Draw.AUGMENT + STREAMS_PER_OPERATION * self.position + parameter


@dataclass(frozen=True)
class Kind:
    """How one operation draws and applies."""

    draw: Callable[[Any, Rows], dict[str, Tensor]]
    apply: Callable[[Any, Tensor, Parameters, Rows], Tensor]


def draw(operation: Operation, rows: Rows) -> dict[str, Tensor]:
    """The operation's parameters for every row: `applied` (bool) and what the operation needs."""
    applied = rows.uniform(_APPLIED) < operation.p
    return {"applied": applied, **KINDS[type(operation)].draw(operation, rows)}


def apply(operation: Operation, images: Tensor, parameters: Parameters, rows: Rows) -> Tensor:
    """Images (N, C, H, W) after the operation, where it is applied; others come back as they were."""
    changed = KINDS[type(operation)].apply(operation, images, parameters, rows)
    return torch.where(parameters["applied"].view(-1, 1, 1, 1), changed, images)


def _draw_nothing(_: Operation, __: Rows) -> dict[str, Tensor]:
    return {}


def _draw_angle(operation: Rotate, rows: Rows) -> dict[str, Tensor]:
    return {"degrees": (2 * rows.uniform(_FIRST) - 1) * operation.degrees}


def _rotate(_: Rotate, images: Tensor, parameters: Parameters, __: Rows) -> Tensor:
    turned: Tensor = kornia_rotate(images, parameters["degrees"], mode="bilinear", padding_mode="zeros")
    return turned


def _draw_corner(operation: Crop, rows: Rows) -> dict[str, Tensor]:
    places = 2 * operation.padding + 1
    return {"top": rows.integers(_FIRST, places), "left": rows.integers(_SECOND, places)}


def _crop(operation: Crop, images: Tensor, parameters: Parameters, _: Rows) -> Tensor:
    count, channels, height, width = images.shape
    padded = F.pad(images, (operation.padding,) * 4)
    down = parameters["top"][:, None] + torch.arange(height, device=images.device)
    across = parameters["left"][:, None] + torch.arange(width, device=images.device)
    row_index = down.view(count, 1, height, 1).expand(count, channels, height, padded.shape[3])
    column_index = across.view(count, 1, 1, width).expand(count, channels, height, width)
    return padded.gather(2, row_index).gather(3, column_index)


def _noise(operation: GaussianNoise, images: Tensor, _: Parameters, rows: Rows) -> Tensor:
    return images + float(operation.std) * rows.normal(_FIRST, tuple(images.shape[1:]))


KINDS: dict[type, Kind] = {
    HorizontalFlip: Kind(_draw_nothing, lambda _, images, *__: images.flip(3)),
    VerticalFlip: Kind(_draw_nothing, lambda _, images, *__: images.flip(2)),
    Rotate: Kind(_draw_angle, _rotate),
    Crop: Kind(_draw_corner, _crop),
    GaussianNoise: Kind(_draw_nothing, _noise),
}
"""Every operation, by its declaration. A new one is a declaration in `schemas.recipes` and a line here."""
