"""The L0 geometry: the number of pixels that change, in any of their channels, each to any value.

Its ball is not convex: what a projection keeps is a choice of pixels, and radii are whole numbers of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks import grid
from hardset.pipeline.compute import rng
from hardset.schemas.errors import JobError
from hardset.schemas.norms import Norm
from hardset.schemas.records.run import Image


@dataclass(frozen=True)
class L0:
    """Images of which at most `radius` pixels differ from the clean one."""

    name: ClassVar[Norm] = "l0"

    def start(
        self, clean: Tensor, radius: Tensor, seeds: Tensor, restart: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """`radius` pixels drawn among those that may change, each value of them uniform in the box."""
        drawn = rng.uniform(seeds, rng.Draw.START_NOISE, tuple(clean.shape[1:]), restart)
        place = 1 + rng.uniform(seeds, rng.Draw.START_RADIUS, (1, *clean.shape[2:]), restart)
        place = place if mask is None else place * mask
        chosen = grid.top_pixels(place, radius) & (place > 0)
        return torch.where(chosen, drawn, clean)

    def steepest(self, gradient: Tensor, images: Tensor, radius: Tensor) -> Tensor:
        """The pixel whose way to the border of the box raises a linear loss most, all the way."""
        way = torch.where(gradient > 0, 1 - images, -images) * (gradient != 0)
        gain = (way * gradient).sum(dim=1, keepdim=True)
        return way * (grid.top_pixels(gain, torch.ones_like(radius)) & (gain > 0))

    def project(self, images: Tensor, clean: Tensor, radius: Tensor) -> Tensor:
        """The nearest image of ball and box (Croce and Hein: Sparse and imperceivable adversarial attacks. ICCV 2019).

        Those pixels stay, cut to the box, for which going back would add most to the squared distance.
        """
        inside = images.clamp(0, 1)
        added = (images - clean).square() - (images - inside).square()
        return torch.where(grid.top_pixels(added.sum(dim=1, keepdim=True), radius), inside, clean)

    def norm(self, change: Tensor) -> Tensor:
        """Number of pixels that change, as float32."""
        return grid.pixels_of(change).to(torch.float32)

    def budget(self, eps: NDArray[np.float64]) -> NDArray[np.int64]:
        """Whole pixels in eps."""
        return grid.l0_budget(eps)

    def radius(self, eps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Whole pixels in eps."""
        return grid.l0_budget(eps).astype(np.float64)

    def widened(self, budget: Tensor, factor: Tensor) -> Tensor:
        """Pixels times the factor."""
        return (budget * factor).to(budget.dtype)

    def to_grid(self, images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
        """Nearest levels, for as many pixels as the budget has."""
        return grid.round_l0(images, levels, budget)


def check_budget(norm: Norm, eps: Fraction, image: Image, *, at: str) -> None:
    """Raises JobError, which begins with the key `at`, where an L0 budget is larger than the image."""
    pixels = image.height * image.width
    if norm == "l0" and eps > pixels:
        raise JobError(f"{at}: got {eps}; images of {image.height} x {image.width} have {pixels} pixels")
