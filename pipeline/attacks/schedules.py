"""How an iterate moves from pass to pass, given the gradient at it: fixed steps, or steps that shrink.

A schedule is pure configuration. What it must remember of a row between passes lives in a dict of tensors, one entry
per slot, which the engine refills together with the slot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.attacks.geometries import Geometry
from pipeline.attacks.grid import per_row

Memory = dict[str, Tensor]
"""What a schedule remembers: tensors whose first axis is the slot."""


@dataclass(frozen=True)
class Pass:
    """What one forward and backward pass found, for every slot."""

    images: Tensor
    """Float iterates, float32 (S, C, H, W)."""
    clean: Tensor
    """Clean images, float32 (S, C, H, W)."""
    gradient: Tensor
    """Of the loss at the iterates, float32 (S, C, H, W)."""
    loss: Tensor
    """float32 (S,)."""
    radius: Tensor
    """Of the search ball, float32 (S,)."""
    step_size: Tensor
    """As drawn for the row, float32 (S,)."""
    step: Tensor
    """Steps done before this one, int32 (S,)."""


class Schedule(Protocol):
    """The rule that turns a pass into the next iterates."""

    def begin(self, images: Tensor, step_size: Tensor, steps: int) -> Memory:
        """What to remember of rows that start at `images`."""
        ...

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """The next iterates and what to remember; `steps` is the length of the whole search."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Steps of one length (Madry et al. 2018)."""

    def begin(self, images: Tensor, step_size: Tensor, steps: int) -> Memory:
        """Nothing to remember."""
        return {}

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step along the steepest direction, back into ball and box."""
        return stepped(seen, seen.step_size, geometry), memory


@dataclass(frozen=True)
class Cosine:
    """Steps that shrink from the full length to nearly 0 along half a cosine."""

    def begin(self, images: Tensor, step_size: Tensor, steps: int) -> Memory:
        """Nothing to remember."""
        return {}

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """As `Fixed`, with the length of this step."""
        share = 0.5 * (1 + torch.cos(seen.step * (math.pi / steps)))
        return stepped(seen, seen.step_size * share, geometry), memory


def stepped(seen: Pass, size: Tensor, geometry: Geometry) -> Tensor:
    """The iterates moved by `size` (S,) along the steepest direction and projected."""
    moved = geometry.steepest(seen.gradient, seen.images).mul_(per_row(size, seen.images)).add_(seen.images)
    return geometry.project(moved, seen.clean, seen.radius)
