"""Losses of the two players, on scores (N,) of real and generated images of the same classes.

Hinge: Lim and Ye, "Geometric GAN" (2017). Relativistic: Jolicoeur-Martineau, "The relativistic discriminator" (2018);
with the gradient penalties R1 and R2, Huang et al., "The GAN is dead; long live the GAN!" (2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """What the players minimise, and what holds the discriminator back; `real` and `made` are scores."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    spectral: bool
    """Whether the discriminator's layers are spectrally normalised."""
    penalised: bool
    """Whether the squared slopes of its scores are part of its loss."""
    paired: bool
    """Whether the generator's loss needs the scores of real images."""
    rates: tuple[float, float]
    """Adam's learning rates of generator and discriminator that suit it, for RGB images."""
    grey_rates: tuple[float, float]
    """The same for grey images."""
    momentum: float
    """Adam's second beta."""


def _hinge_discriminator(real: Tensor, made: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def _hinge_generator(real: Tensor, made: Tensor) -> Tensor:
    return -made.mean()


def _relativistic_discriminator(real: Tensor, made: Tensor) -> Tensor:
    return F.softplus(made - real).mean()


def _relativistic_generator(real: Tensor, made: Tensor) -> Tensor:
    return F.softplus(real - made).mean()


LOSSES = {
    "relativistic": Loss(
        _relativistic_discriminator,
        _relativistic_generator,
        spectral=False,
        penalised=True,
        paired=True,
        rates=(5e-4, 5e-4),
        grey_rates=(1e-3, 1e-3),
        momentum=0.99,
    ),
    "hinge": Loss(
        _hinge_discriminator,
        _hinge_generator,
        spectral=True,
        penalised=False,
        paired=False,
        rates=(4e-4, 8e-4),
        grey_rates=(4e-4, 8e-4),
        momentum=0.9,
    ),
}


def squared_slopes(scores: Tensor, images: Tensor) -> Tensor:
    """Mean over the pairs of the squared slopes at both images, which is R1 + R2.

    `images` (2N, C, H, W): N real, then N generated, that require gradients; `scores` (2N,): theirs.
    """
    (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    # Published weights of the penalty are for levels in [-1, 1], where slopes are half as steep.
    return slopes.float().square().sum() / 4 / (len(images) / 2)
