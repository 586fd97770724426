"""The norms an attack can move in: where it starts, its steepest step, and the way back into ball and box."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks import grid
from hardset.pipeline.attacks.grid import per_row, row_sum, safe
from hardset.pipeline.compute import rng
from hardset.schemas.norms import Norm


class Geometry(Protocol):
    """A norm ball cut with the box [0, 1]. Images are float32 (N, C, H, W); radii and sizes are float32 (N,)."""

    name: ClassVar[Norm]

    def start(
        self, clean: Tensor, radius: Tensor, seeds: Tensor, restart: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Images uniform in the ball, cut to the box. `seeds` and `restart`: int64 (N,).

        `mask`: 1 where values may change, else 0, float32 (N, 1, H, W); the ball is then that of those values.
        """
        ...

    def steepest(self, gradient: Tensor, images: Tensor, radius: Tensor) -> Tensor:
        """The change of norm 1 along which a linear loss rises most from `images`; 0 where the gradient is."""
        ...

    def project(self, images: Tensor, clean: Tensor, radius: Tensor) -> Tensor:
        """The images brought back into ball and box."""
        ...

    def norm(self, change: Tensor) -> Tensor:
        """Norm of each row, float32 (N,)."""
        ...

    def budget(self, eps: NDArray[np.float64]) -> NDArray[np.int64]:
        """What eps allows on the 8-bit grid, in the units of `pipeline.attacks.grid`."""
        ...

    def radius(self, eps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radius of the smallest ball that holds every 8-bit image within eps."""
        ...

    def widened(self, budget: Tensor, factor: Tensor) -> Tensor:
        """Budgets (N,) on the 8-bit grid of balls `factor` (N,) times as large."""
        ...

    def to_grid(self, images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
        """Levels that `images` are stored as, whole numbers 0 to 255 as float32, within budget of clean `levels`."""
        ...


class Linf:
    """Largest change of any value."""

    name: ClassVar[Norm] = "linf"

    def start(
        self, clean: Tensor, radius: Tensor, seeds: Tensor, restart: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Every value uniform in [-radius, radius] about the clean one, cut to the box."""
        noise = rng.uniform(seeds, rng.Draw.START_NOISE, tuple(clean.shape[1:]), restart).mul_(2).sub_(1)
        noise = noise if mask is None else noise * mask
        return noise.mul_(per_row(radius, clean)).add_(clean).clamp_(0, 1)

    def steepest(self, gradient: Tensor, images: Tensor, radius: Tensor) -> Tensor:
        """The gradient's sign."""
        return gradient.sign()

    def project(self, images: Tensor, clean: Tensor, radius: Tensor) -> Tensor:
        """Clamped to the ball, then to the box: the exact projection on both."""
        allowed = per_row(radius, images)
        return torch.minimum(torch.maximum(images, clean - allowed), clean + allowed).clamp_(0, 1)

    def norm(self, change: Tensor) -> Tensor:
        """Largest absolute value of each row."""
        return change.flatten(1).abs().amax(dim=1)

    def budget(self, eps: NDArray[np.float64]) -> NDArray[np.int64]:
        """Whole 8-bit levels in eps."""
        return grid.linf_budget(eps)

    def radius(self, eps: NDArray[np.float64]) -> NDArray[np.float64]:
        """eps less the part of a level that can never be stored: eps 0.3 is 76.5 levels, of which 76 count."""
        return grid.linf_budget(eps) / 255

    def widened(self, budget: Tensor, factor: Tensor) -> Tensor:
        """Levels times the factor."""
        return (budget * factor).to(budget.dtype)

    def to_grid(self, images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
        """Nearest levels, clamped to the budget."""
        return grid.round_linf(images, levels, budget)


class L2:
    """Euclidean norm of the change of the whole image."""

    name: ClassVar[Norm] = "l2"

    def start(
        self, clean: Tensor, radius: Tensor, seeds: Tensor, restart: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Uniform in the ball (normal direction, length radius * U^(1/d)), cut to the box."""
        noise = rng.normal(seeds, rng.Draw.START_NOISE, tuple(clean.shape[1:]), restart)
        return scaled_into_ball(self, noise, clean, radius, seeds, restart, mask)

    def steepest(self, gradient: Tensor, images: Tensor, radius: Tensor) -> Tensor:
        """The gradient scaled to length 1."""
        # Gradients of confident rows lie near 1e-25, and their squares are 0 in float32: scale before squaring.
        scaled = gradient / per_row(safe(gradient.flatten(1).abs().amax(dim=1)), gradient)
        return scaled.div_(per_row(safe(self.norm(scaled)), gradient))

    def project(self, images: Tensor, clean: Tensor, radius: Tensor) -> Tensor:
        """Scaled back to the sphere where outside it, then cut to the box, which cannot leave the ball again.

        Lands in both sets; where the box cuts it is not the nearest such point.
        """
        change = images - clean
        factor = (radius / safe(self.norm(change))).clamp_(max=1)
        return change.mul_(per_row(factor, images)).add_(clean).clamp_(0, 1)

    def norm(self, change: Tensor) -> Tensor:
        """Euclidean length of each row."""
        length: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1)
        return length

    def budget(self, eps: NDArray[np.float64]) -> NDArray[np.int64]:
        """Largest sum of squared level changes in eps."""
        return grid.l2_budget(eps)

    def radius(self, eps: NDArray[np.float64]) -> NDArray[np.float64]:
        """eps itself."""
        return eps

    def widened(self, budget: Tensor, factor: Tensor) -> Tensor:
        """Squares times the square of the factor."""
        return (budget * factor.double().square()).to(budget.dtype)

    def to_grid(self, images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
        """Nearest levels, rounded towards the clean ones until the budget holds."""
        return grid.round_l2(images, levels, budget)


def scaled_into_ball(
    geometry: Geometry,
    noise: Tensor,
    clean: Tensor,
    radius: Tensor,
    seeds: Tensor,
    restart: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Clean images moved along `noise` by radius * U^(1/d), d being the number of values that may change."""
    free = clean[0].numel() if mask is None else safe(row_sum(mask.expand_as(clean)))
    noise = noise if mask is None else noise * mask
    share = rng.uniform(seeds, rng.Draw.START_RADIUS, (), restart).pow(1 / free)
    return noise.mul_(per_row(radius * share / safe(geometry.norm(noise)), clean)).add_(clean).clamp_(0, 1)
