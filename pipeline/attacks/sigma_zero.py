"""Sigma-zero: the fewest pixels that reach the goal, by gradients of a smooth count of them and a threshold below.

Cina, Villani, Pintor, Schonherr, Biggio, Pelillo: Sigma-zero: gradient-based optimization of l0-norm adversarial
examples. ICLR 2025, arXiv 2402.01879.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import largest, per_row, safe
from hardset.pipeline.attacks.nearest import NearestSchedule
from hardset.pipeline.attacks.schedules import Memory, Pass, Start, falling

_ADAM = (0.9, 0.999)
_ADAM_TINY = 1e-8


@dataclass(frozen=True)
class SigmaZero(NearestSchedule):
    """Adam on the margin, cut at 0, plus the share of pixels that changed, d^2 / (d^2 + sigma) standing for each one.

    After each step pixels that moved by less than a threshold go back. It rises where the goal is reached and falls
    where it is not. The paper counts values; here all channels of a pixel count, move and go back as one, which is the
    same on images of one channel. Needs an objective that is above 0 exactly where the goal is reached.
    """

    beyond: float = 1e9
    """All pixels may change on the way, however few the budget has."""
    first_step: float = 1.0
    last_step: float = 0.1
    sigma: float = 1e-3
    first_threshold: float = 0.3
    """On the [0, 1] scale, of the largest change of a pixel's values."""
    threshold_change: float = 0.01
    """Change of the threshold by a pass, as a share of the step."""

    def begin(self, start: Start) -> Memory:
        """Adam's averages, float32 (S, C, H, W), and the threshold, float32 (S,)."""
        none = torch.zeros_like(start.images)
        return {
            "average": none,
            "square": none.clone(),
            "threshold": torch.full_like(start.radius, self.first_threshold),
        }

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step of Adam down the loss, cut to the box and to the pixels above the threshold."""
        change = seen.images - seen.clean
        size = change.square().sum(dim=1, keepdim=True)
        smooth = 2 * self.sigma * change / (size + self.sigma).square() / size[0].numel()
        slope = torch.where(per_row(seen.met, change), 0, -seen.gradient) + smooth
        slope = slope / per_row(safe(largest(slope)), slope)
        first, second = _ADAM
        average = memory["average"].lerp(slope, 1 - first)
        square = memory["square"].lerp(slope.square(), 1 - second)
        done = (seen.step + 1).to(torch.float32)
        length = self.last_step + (self.first_step - self.last_step) * falling(seen.step, steps)
        spread = (square / per_row(1 - second**done, square)).sqrt_().add_(_ADAM_TINY)
        step = average / spread * per_row(length / (1 - first**done), average)
        moved = (seen.images - step).clamp_(0, 1)
        towards = torch.where(seen.met, length, -length)
        threshold = (memory["threshold"] + self.threshold_change * towards).clamp_(0, 1)
        stays = (moved - seen.clean).abs().amax(dim=1, keepdim=True) >= per_row(threshold, moved)
        images = torch.where(stays, moved, seen.clean)
        return images, {"average": average, "square": square, "threshold": threshold}
