"""What searches for the smallest change share: they look beyond the budget, and keep what they find within it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row, safe
from hardset.pipeline.attacks.schedules import Schedule

REACH = 16.0
"""Multiples of the budget's radius that such a search may go out to."""


@dataclass(frozen=True)
class NearestSchedule(Schedule):
    """A schedule that keeps, among iterates that reach the goal, the nearest."""

    minimal: ClassVar[bool] = True
    beyond: float = REACH
    """Multiples of the radius that an iterate may lie at."""

    def reach(self, step: Tensor, steps: int) -> Tensor | None:
        """What is found beyond the radius is drawn in until it is within, or is not kept."""
        return None if self.beyond == 1 else torch.full_like(step, self.beyond, dtype=torch.float32)


def out_to_sphere(images: Tensor, clean: Tensor, ball: Tensor, geometry: Geometry) -> Tensor:
    """The images that are nearer than `ball` (S,) moved away from the clean ones to that distance; the others as is."""
    change = images - clean
    factor = (ball / safe(geometry.norm(change))).clamp_(min=1)
    return change.mul_(per_row(factor, change)).add_(clean)
