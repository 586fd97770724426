"""The L1 geometry: sparse steps, and the exact projection on the intersection of L1 ball and box.

Croce and Hein: Mind the box: l1-APGD for sparse adversarial attacks on image classifiers. ICML 2021, arXiv 2103.01208.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks import grid
from hardset.pipeline.attacks.geometries import scaled_into_ball
from hardset.pipeline.attacks.grid import per_row, row_sum, safe
from hardset.pipeline.compute import rng
from hardset.schemas.norms import Norm

_HALVINGS = 24  # of the bracket around the threshold: leaves 2^-24 of the largest change, float32's own precision
_LARGEST_UNIFORM = 1 - 2.0**-24  # of 24-bit uniform values, so that no logarithm is infinite


@dataclass(frozen=True)
class L1:
    """Sum of the changes of all values."""

    name: ClassVar[Norm] = "l1"

    values: float = 3.0
    """How many values a step moves per unit of the row's radius, rounded up.

    A value can change by about half the [0, 1] range before the box stops it, so a ball is spent on a few values per
    unit of radius, whatever the image's size. Robust accuracy after 50 steps, against the sparsity that Croce and Hein
    adapt from the iterates: the same within 2 points on a CIFAR-10 network at radii 6 and 12, 6 points higher on an
    MNIST network at 10. A fixed 5 % of all values was 21 points higher on the CIFAR-10 network at 6.
    """
    share: float = 0.1
    """Largest share of all values that a step moves, in (0, 1]."""

    def __post_init__(self) -> None:
        if not self.values > 0 or not 0 < self.share <= 1:
            raise ValueError(f"values must lie above 0 and share in (0, 1], got {self.values} and {self.share}")

    def start(
        self, clean: Tensor, radius: Tensor, seeds: Tensor, restart: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Uniform in the ball (Laplace direction, length radius * U^(1/d)), cut to the box."""
        noise = rng.uniform(seeds, rng.Draw.START_NOISE, tuple(clean.shape[1:]), restart).mul_(2).sub_(1)
        noise = torch.log1p(-noise.abs().clamp_(max=_LARGEST_UNIFORM)).copysign_(noise)
        return scaled_into_ball(self, noise, clean, radius, seeds, restart, mask)

    def steepest(self, gradient: Tensor, images: Tensor, radius: Tensor) -> Tensor:
        """Equal parts for the values with the largest gradients, among those that do not already press on the box.

        A single value would be the steepest change of all, and too small a step for a network.
        """
        most = max(1, math.ceil(self.share * gradient[0].numel()))
        return sparsest(gradient, images, (radius * self.values).ceil().clamp_(1, most).to(torch.int64), most)

    def project(self, images: Tensor, clean: Tensor, radius: Tensor) -> Tensor:
        """The nearest point of ball and box: sizes of changes lowered by one threshold per row, and cut to the box.

        With changes of size a_i and room r_i to the border of the box, the solution is min(max(a_i - t, 0), r_i) for
        the least t >= 0 whose sum is within the radius (the optimality conditions; each size is monotone and
        1-Lipschitz in t). t is bracketed by halving and taken from the feasible end, so that no value is further than
        2^-24 of the row's largest change from the exact projection, float32 rounding aside.
        """
        change = images - clean
        room = torch.where(change > 0, 1 - clean, clean)
        size = change.abs()
        kept = torch.minimum(size, room)
        outside = row_sum(kept) > radius
        low, high = torch.zeros_like(radius), size.flatten(1).amax(dim=1)
        nothing = torch.zeros((), device=size.device)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            torch.clamp(torch.sub(size, per_row(middle, size), out=kept), nothing, room, out=kept)
            over = row_sum(kept) > radius
            low, high = torch.where(over, middle, low), torch.where(over, high, middle)
        threshold = torch.where(outside, high, 0)
        torch.clamp(torch.sub(size, per_row(threshold, size), out=kept), nothing, room, out=kept)
        return kept.copysign_(change).add_(clean).clamp_(0, 1)

    def norm(self, change: Tensor) -> Tensor:
        """Sum of the absolute values of each row."""
        return row_sum(change.abs())

    def budget(self, eps: NDArray[np.float64]) -> NDArray[np.int64]:
        """Largest sum of level changes in eps."""
        return grid.l1_budget(eps)

    def radius(self, eps: NDArray[np.float64]) -> NDArray[np.float64]:
        """eps less the part of a level that can never be stored."""
        return grid.l1_budget(eps) / 255

    def widened(self, budget: Tensor, factor: Tensor) -> Tensor:
        """Levels times the factor."""
        return (budget * factor).to(budget.dtype)

    def to_grid(self, images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
        """Nearest levels, rounded towards the clean ones until the budget holds."""
        return grid.round_l1(images, levels, budget)


def sparsest(gradient: Tensor, images: Tensor, wanted: Tensor, most: int) -> Tensor:
    """The change of L1 norm 1 in equal parts for the `wanted` (N,) values, `most` at most, with the largest gradients.

    Values that already press on the box are passed over. Values whose gradient equals that of the last one chosen are
    chosen as well. Float32 (N, C, H, W) as `gradient` and `images`.
    """
    pressing = torch.where(gradient > 0, images >= 1, images <= 0)
    size = gradient.abs().masked_fill_(pressing, 0)
    # Fewer can move than are wanted: the last is 0, and all that are above it are chosen.
    least = size.flatten(1).topk(most, dim=1).values.gather(1, wanted[:, None] - 1)
    chosen = ((size >= per_row(least, size)) & (size > 0)).to(gradient.dtype)
    return chosen.div_(per_row(safe(row_sum(chosen)), size)).mul_(gradient.sign())
