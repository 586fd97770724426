"""Decoupled direction and norm: steps along the gradient on a sphere that shrinks after a success and grows otherwise.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger: Decoupling direction and norm for efficient gradient-based L2
adversarial attacks and defenses. CVPR 2019, arXiv 1811.09600.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardset.pipeline.attacks.fmn import REACH, out_to_sphere
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start


@dataclass(frozen=True)
class Ddn(Schedule):
    """The schedule of DDN; lengths on the [0, 1] scale."""

    minimal: ClassVar[bool] = True
    first_radius: float = 1.0
    change: float = 0.05
    """Share by which the sphere shrinks or grows."""
    first_step: float = 1.0
    last_step: float = 0.01

    def reach(self, step: Tensor, steps: int) -> Tensor:
        """Beyond the radius: what is found there is drawn in until it is within, or is not kept."""
        return torch.full_like(step, REACH, dtype=torch.float32)

    def begin(self, start: Start) -> Memory:
        """Radius of the sphere, float32 (S,)."""
        return {"sphere": torch.full_like(start.radius, self.first_radius)}

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step, and from there to the sphere that this pass asks for."""
        share = 0.5 * (1 + torch.cos(seen.step * (math.pi / steps)))
        size = self.last_step + (self.first_step - self.last_step) * share
        factor = torch.where(seen.met, 1 - self.change, 1 + self.change)
        sphere = torch.minimum(memory["sphere"] * factor, seen.radius * REACH)
        step = geometry.steepest(seen.gradient, seen.images, seen.radius).mul_(per_row(size, seen.images))
        images = out_to_sphere(step.add_(seen.images), seen.clean, sphere, geometry)
        return geometry.project(images, seen.clean, sphere), {"sphere": sphere}
