"""Decoupled direction and norm: steps along the gradient on a sphere that shrinks after a success and grows otherwise.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger: Decoupling direction and norm for efficient gradient-based L2
adversarial attacks and defenses. CVPR 2019, arXiv 1811.09600.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.nearest import NearestSchedule, out_to_sphere
from hardset.pipeline.attacks.schedules import Memory, Pass, Start, falling


@dataclass(frozen=True)
class Ddn(NearestSchedule):
    """The schedule of DDN; lengths on the [0, 1] scale."""

    first_radius: float = 1.0
    change: float = 0.05
    """Share by which the sphere shrinks or grows."""
    first_step: float = 1.0
    last_step: float = 0.01

    def begin(self, start: Start) -> Memory:
        """Radius of the sphere, float32 (S,)."""
        return {"sphere": torch.full_like(start.radius, self.first_radius)}

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step, and from there to the sphere that this pass asks for."""
        share = falling(seen.step, steps)
        size = self.last_step + (self.first_step - self.last_step) * share
        factor = torch.where(seen.met, 1 - self.change, 1 + self.change)
        sphere = torch.minimum(memory["sphere"] * factor, seen.radius * self.beyond)
        step = geometry.steepest(seen.gradient, seen.images, seen.radius).mul_(per_row(size, seen.images))
        images = out_to_sphere(step.add_(seen.images), seen.clean, sphere, geometry)
        return geometry.project(images, seen.clean, sphere), {"sphere": sphere}
