"""Fast minimum-norm attack: the nearest image that reaches the goal, found by a ball that shrinks and grows.

Pintor, Roli, Brendel, Biggio: Fast minimum-norm adversarial attacks through adaptive norm constraints. NeurIPS 2021,
arXiv 2102.12827.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import L2, Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.nearest import REACH, NearestSchedule, out_to_sphere
from hardset.pipeline.attacks.schedules import Memory, Pass, Start, falling
from hardset.schemas.norms import Norm

_DUAL: dict[Norm, float] = {"linf": 1, "l2": 2, "l1": math.inf}


@dataclass(frozen=True)
class Fmn(NearestSchedule):
    """Steps along the gradient inside a ball of the row's own: smaller after a success, larger after a failure.

    Needs an objective that is above 0 exactly where the goal is reached and about linear near it: a margin of logits.
    Settings fall along half a cosine from their first to their last value.
    """

    first_step: float = 1.0
    """Euclidean length on the [0, 1] scale, whatever the norm."""
    last_step: float = 0.01
    first_change: float = 0.05
    """Share by which a ball shrinks or grows."""
    last_change: float = 0.001

    beyond: float = 1.0
    """Multiples of the radius that a ball may have; above 1, iterates go all the way out to their ball, too.

    Scaling the change up to the ball is what adv-lib's implementation does and the paper does not. Of 200 digits, 100
    steps on an MNIST network trained with FGSM fooled 111 without and 200 with both in L2, 110 and 199 in L1 (median
    distance 29.9 and 9.4); in Linf they changed nothing.
    """

    def under(self, norm: Norm) -> Fmn:
        """Beyond the radius in L2 and L1; balls of whole pixels in L0."""
        if norm == "l0":
            return FmnPixels()
        return self if norm == "linf" else replace(self, beyond=REACH)

    def begin(self, start: Start) -> Memory:
        """Radius of the ball, and norm of the smallest change that reached the goal; both float32 (S,)."""
        return {"ball": start.radius.clone(), "nearest": torch.full_like(start.radius, torch.inf)}

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step, projected onto the ball that this pass asks for, never larger than the search's."""
        share = falling(seen.step, steps)
        norm = geometry.norm(seen.images - seen.clean)
        nearest = torch.where(seen.met, torch.minimum(norm, memory["nearest"]), memory["nearest"])
        change = self.last_change + (self.first_change - self.last_change) * share
        ball = self.next_ball(seen, memory["ball"], nearest, norm, change, geometry)
        ball = torch.minimum(ball, seen.radius * self.beyond)
        size = self.last_step + (self.first_step - self.last_step) * share
        step = L2().steepest(seen.gradient, seen.images, seen.radius).mul_(per_row(size, seen.images))
        images = step.add_(seen.images)
        if self.outward:
            images = out_to_sphere(images, seen.clean, ball, geometry)
        return geometry.project(images, seen.clean, ball), {"ball": ball, "nearest": nearest}

    @property
    def outward(self) -> bool:
        """Whether iterates go all the way out to their ball."""
        return self.beyond > 1

    def next_ball(
        self, seen: Pass, ball: Tensor, nearest: Tensor, norm: Tensor, change: Tensor, geometry: Geometry
    ) -> Tensor:
        """Radius of the next ball, float32 (S,)."""
        shrunk = torch.minimum(ball * (1 - change), nearest)
        grown = ball * (1 + change)
        # Before the first success: to where a linear loss would be 0, and a little beyond. The paper's ball ends right
        # there, and rows of nearly linear models then wait for ever a rounding error short of their goal.
        slope = torch.linalg.vector_norm(seen.gradient.flatten(1), ord=_DUAL[geometry.name], dim=1)
        distance = torch.nan_to_num(seen.loss.abs() / slope, nan=torch.inf)
        outward = torch.where(nearest.isfinite(), grown, (norm + distance) * (1 + change))
        return torch.where(seen.met, shrunk, outward)


@dataclass(frozen=True)
class FmnPixels(Fmn):
    """FMN in L0: balls of whole pixels, from one pixel on, that change by one at least (as adv-lib's do)."""

    beyond: float = REACH

    @property
    def outward(self) -> bool:
        """In L0 no length could be scaled."""
        return False

    def begin(self, start: Start) -> Memory:
        """A ball of one pixel."""
        return {"ball": torch.ones_like(start.radius), "nearest": torch.full_like(start.radius, torch.inf)}

    def next_ball(
        self, seen: Pass, ball: Tensor, nearest: Tensor, norm: Tensor, change: Tensor, geometry: Geometry
    ) -> Tensor:
        """Number of pixels of the next ball, float32 (S,)."""
        shrunk = torch.minimum(torch.minimum(ball - 1, (ball * (1 - change)).floor()), nearest)
        grown = torch.maximum(ball + 1, (ball * (1 + change)).floor())
        return torch.where(seen.met, shrunk, grown).clamp_(min=1)
