"""Transforms of the image that the model is shown when the gradient is asked for, and smoothing of the gradient.

Attacks that climb the gradients of transformed images fit less to the one model they see and transfer better. Every
row has its own draws, from its seed, search and step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hardset.pipeline.compute import rng

_DEVIATIONS = 3.0  # of the Gaussian from the kernel's middle to its edge, as in the program of Dong et al. 2019
_WORDS = 4  # random words behind one diversity transform: whether, how large, and two for where


@dataclass(frozen=True)
class Draws:
    """The keys of the random choices of N rows."""

    seeds: Tensor
    """Row seeds, int64 (N,)."""
    order: Tensor
    """Number of the search among those of its row, int64 (N,)."""
    step: Tensor
    """Number of steps done, int32 (N,)."""

    def part(self, rows: slice) -> Draws:
        """The keys of some of the rows."""
        return Draws(self.seeds[rows], self.order[rows], self.step[rows])


class InputTransform(Protocol):
    """A change of the images that the model is shown."""

    @property
    def copies(self) -> int:
        """Number of changed images that one gradient is averaged over."""
        ...

    def apply(self, images: Tensor, draws: Draws, copy: int) -> Tensor:
        """Copy number `copy` of images (N, C, H, W), differentiable, of the same shape."""
        ...


@dataclass(frozen=True)
class Diversity:
    """Images made smaller and put somewhere on black (DI2-FGSM: Xie et al., CVPR 2019), some rows of each pass.

    The new height and width are drawn from `smallest` of the old ones up to one pixel less, by one share for both.
    The paper grows images instead, which needs a model that takes several sizes.
    """

    probability: float
    """Probability that a row is changed in a pass."""
    smallest: float = 0.9
    """Smallest new side, as a share of the old one."""
    copies: int = 1

    def apply(self, images: Tensor, draws: Draws, copy: int) -> Tensor:
        """Bilinear resizing, without antialiasing, and zeros around it; the rows not drawn stay exactly as they are."""
        words = rng.words(draws.seeds, rng.Draw.INPUT_DIVERSITY, _WORDS * (copy + 1), draws.order, draws.step)
        shares = words[:, _WORDS * copy :].to(torch.float32) * 2.0**-32
        changed = shares[:, 0] < self.probability
        vertical = self._resize(images.shape[2], changed, shares[:, 1], shares[:, 2])
        horizontal = self._resize(images.shape[3], changed, shares[:, 1], shares[:, 3])
        # Products with matrices, because the gradient of a gather adds up in no fixed order on an accelerator.
        return vertical[:, None] @ images @ horizontal[:, None].mT

    def _resize(self, side: int, changed: Tensor, size_share: Tensor, place_share: Tensor) -> Tensor:
        """Weights of the old pixels (last axis) in the new ones along one side, float32 (N, side, side)."""
        shortest = max(int(self.smallest * side), 1)
        size = shortest + (size_share * (side - shortest)).floor()
        size = torch.where(changed, size, side)[:, None]
        place = (place_share[:, None] * (side - size + 1)).floor()
        pixels = torch.arange(side, device=size.device, dtype=torch.float32)
        new = pixels - place
        old = ((new + 0.5) * (side / size) - 0.5).clamp(0, side - 1)
        shown = (new >= 0) & (new < size)
        weights = 1 - (old[..., None] - pixels).abs()
        return weights.clamp_(min=0).mul_(shown[..., None])


@dataclass(frozen=True)
class Scales:
    """Darker copies, image / 2^i (SI-NI-FGSM: Lin et al., ICLR 2020)."""

    copies: int = 5

    def apply(self, images: Tensor, draws: Draws, copy: int) -> Tensor:
        """The images over 2^copy; copy 0 is the images themselves."""
        return images * 0.5 ** (copy % self.copies)


def smoothed(gradient: Tensor, side: int) -> Tensor:
    """The gradient (N, C, H, W) convolved with a Gaussian, zeros beyond its edges (TI-FGSM: Dong et al., CVPR 2019).

    It approximates the mean gradient over shifted images. `side` is odd; 15 in the paper, for images of 299 pixels.
    """
    height, width = gradient.shape[2:]
    # Products with band matrices, 10 times as fast on a CPU (torch 2.13) as a convolution of single planes.
    return _band(height, side, gradient.device) @ gradient @ _band(width, side, gradient.device).mT


def gaussian(side: int, device: torch.device | None = None) -> Tensor:
    """Weights of a Gaussian of `side` taps, float32, that end 3 standard deviations off the middle; they sum to 1."""
    if side == 1:
        return torch.ones(1, device=device)
    places = torch.linspace(-_DEVIATIONS, _DEVIATIONS, side, device=device)
    weights = torch.exp(-places.square() / 2)
    return weights / weights.sum()


def _band(length: int, side: int, device: torch.device) -> Tensor:
    """The matrix that convolves vectors of `length` with the Gaussian, float32 (length, length)."""
    places = torch.arange(length, device=device)
    taps = places[:, None] - places + side // 2
    weights = gaussian(side, device)[taps.clamp(0, side - 1)]
    return torch.where((taps >= 0) & (taps < side), weights, 0)
