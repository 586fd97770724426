"""How an iterate moves from pass to pass, given what was found at it: fixed steps, or steps that shrink.

A schedule is pure configuration. What it must remember of a row between passes lives in a dict of tensors, one entry
per slot, which the engine refills together with the slot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.schemas.norms import Norm

Memory = dict[str, Tensor]
"""The memory of a schedule: tensors whose first axis is the slot."""


@dataclass(frozen=True)
class Start:
    """Rows about to be searched, S of them."""

    images: Tensor
    """The images that they start from, float32 (S, C, H, W)."""
    clean: Tensor
    """Clean images, float32 (S, C, H, W)."""
    radius: Tensor
    """Radius of the search ball, float32 (S,)."""
    step_size: Tensor
    """Step size as drawn for the row, float32 (S,)."""
    seeds: Tensor
    """Row seeds, int64 (S,)."""
    order: Tensor
    """Number of the search among those of its row, int64 (S,)."""
    steps: int
    """Number of steps of the whole search."""


@dataclass(frozen=True)
class Pass:
    """The findings of one pass, for every slot."""

    images: Tensor
    """Float iterates, float32 (S, C, H, W)."""
    clean: Tensor
    """Clean images, float32 (S, C, H, W)."""
    gradient: Tensor
    """Loss gradient at the iterates, float32 (S, C, H, W), 0 where values may not change; empty unless asked for."""
    loss: Tensor
    """Loss at the iterates, float32 (S,)."""
    met: Tensor
    """Whether the iterate reaches the goal, be it beyond the budget, bool (S,)."""
    radius: Tensor
    """Radius of the search ball, float32 (S,)."""
    step_size: Tensor
    """Step size as drawn for the row, float32 (S,)."""
    step: Tensor
    """Number of steps done before this one, int32 (S,)."""
    seeds: Tensor
    """Row seeds, int64 (S,)."""
    order: Tensor
    """Number of the search among those of its row, int64 (S,)."""
    mask: Tensor
    """Mask of the values that may change: 1, else 0; float32, broadcasts to (S, C, H, W)."""
    nonfinite: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """Number of components of the model's gradients that were NaN or infinite, and are 0 here, int64 (S,); empty unless
    asked for."""


class Schedule:
    """The rule that turns a pass into the next iterates."""

    needs_gradient: ClassVar[bool] = True
    """Whether passes compute gradients; false for attacks that ask for scores alone."""
    minimal: ClassVar[bool] = False
    """Whether, among iterates that reach the goal, the nearest is kept rather than that of the highest loss."""

    def under(self, norm: Norm) -> Schedule:
        """The form that it takes in a norm; by default the same in all."""
        return self

    def reach(self, step: Tensor, steps: int) -> Tensor | None:
        """Multiples of the radius that iterates may go out to after `step` of `steps` steps, float32 (S,).

        None: 1 always. Iterates further out than the radius are asked about and never kept.
        """
        return None

    def begin(self, start: Start) -> Memory:
        """The memory of rows at their start."""
        return {}

    def probe(self, images: Tensor, step_size: Tensor, memory: Memory) -> Tensor:
        """The images at which the gradient is asked for; the same object as `images` where these are the iterates."""
        return images

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """The next iterates and the next memory; `steps` is the number of steps of the whole search."""
        raise NotImplementedError


@dataclass(frozen=True)
class Fixed(Schedule):
    """Steps of one length (Madry et al. 2018)."""

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step along the steepest direction, back into ball and box."""
        return stepped(seen, seen.step_size, geometry), memory


@dataclass(frozen=True)
class Cosine(Schedule):
    """Steps that shrink from the full length to nearly 0 along half a cosine."""

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step as `Fixed` takes it, of this step's length."""
        return stepped(seen, seen.step_size * falling(seen.step, steps), geometry), memory


def falling(step: Tensor, steps: int) -> Tensor:
    """Share from 1 at the first of `steps` steps to nearly 0 at the last, along half a cosine; float32 (S,)."""
    return 0.5 * (1 + torch.cos(step * (math.pi / steps)))


def with_best(seen: Pass, memory: Memory) -> Memory:
    """The memory with this pass's iterate as its `best`, `best_gradient` and `best_loss` where the loss is higher."""
    better = seen.loss > memory["best_loss"]
    at = per_row(better, seen.images)
    return memory | {
        "best": torch.where(at, seen.images, memory["best"]),
        "best_gradient": torch.where(at, seen.gradient, memory["best_gradient"]),
        "best_loss": torch.where(better, seen.loss, memory["best_loss"]),
    }


def stepped(seen: Pass, size: Tensor, geometry: Geometry) -> Tensor:
    """The iterates moved by `size` (S,) along the steepest direction and projected."""
    direction = geometry.steepest(seen.gradient, seen.images, seen.radius)
    moved = direction.mul_(per_row(size, seen.images)).add_(seen.images)
    return geometry.project(moved, seen.clean, seen.radius)


def seen_at(seen: Pass, images: Tensor, gradient: Tensor) -> Pass:
    """The same pass as if it had been made at `images` with `gradient`."""
    return replace(seen, images=images, gradient=gradient)
