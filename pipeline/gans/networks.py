"""A small class-conditional GAN for images of 8 to 32 pixels per side: generator and projection discriminator.

Projection: Miyato and Koyama, "cGANs with projection discriminator" (2018). Spectral norm: Miyato et al., "Spectral
normalization for generative adversarial networks" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

ARCHITECTURE = "hinge-projection-1"
"""Name of the network layout below; a different layout needs a different name."""

SMALLEST, LARGEST, MULTIPLE = 8, 32, 4
"""Supported image sides in pixels: range, and the number they must be a multiple of."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a generator's input and output. Raises ValueError for images that the networks cannot produce."""

    classes: int
    height: int
    width: int
    channels: int
    latent: int
    """Size of the latent vector."""
    features: int
    """Number of channels of the widest layer."""

    def __post_init__(self) -> None:
        sides = (self.height, self.width)
        if any(side % MULTIPLE or not SMALLEST <= side <= LARGEST for side in sides):
            raise ValueError(
                f"images of {self.height} x {self.width} pixels; the GAN makes sides of {SMALLEST} to {LARGEST} "
                f"pixels that are multiples of {MULTIPLE}"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"images with {self.channels} channels; the GAN makes 1 or 3")

    @property
    def doublings(self) -> int:
        """Number of up-sampling stages, 2 or 3: as many as leave an integer base size of at least 2 pixels."""
        return 3 if self.height % 8 == 0 and self.width % 8 == 0 and min(self.height, self.width) >= 16 else 2


class GeneratorNet(nn.Module):
    """Latents (N, latent), standard normal, and classes (N,) to images (N, C, H, W) in [0, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = _widths(shape)[::-1]
        scale = 2**shape.doublings
        self.base = (widths[0], shape.height // scale, shape.width // scale)
        self.embed = nn.Embedding(shape.classes, shape.latent)
        self.entry = nn.Linear(2 * shape.latent, self.base[0] * self.base[1] * self.base[2])
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            doubled = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
            layers += [doubled, nn.BatchNorm2d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], shape.channels, 3, padding=1), nn.Tanh())

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1]."""
        start = self.entry(torch.cat((latents, self.embed(classes)), dim=1))
        images: Tensor = self.body(start.view(-1, *self.base))
        return (images + 1) / 2


class DiscriminatorNet(nn.Module):
    """Images (N, C, H, W) in [0, 1] and their classes (N,) to scores (N,); higher is more real.

    Every layer is spectrally normalised, so the scores are Lipschitz in the image.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        fine, wide = _widths(shape)[:2]
        # Halving first takes a third less time than a 3x3 convolution at full size, at the same Fréchet distance
        # (digits, one core).
        layers = [nn.Conv2d(shape.channels, fine, 4, stride=2, padding=1), nn.Conv2d(fine, wide, 3, padding=1)]
        layers += [nn.Conv2d(wide, wide, 4, stride=2, padding=1) for _ in range(shape.doublings - 1)]
        self.body = nn.Sequential(*(part for layer in layers for part in (spectral_norm(layer), nn.LeakyReLU(0.1))))
        self.score = spectral_norm(nn.Linear(wide, 1))
        self.embed = spectral_norm(nn.Embedding(shape.classes, wide))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Scores (N,)."""
        features = self.body(images * 2 - 1).sum((2, 3))
        scores: Tensor = self.score(features).squeeze(1) + (self.embed(classes) * features).sum(1)
        return scores


def _widths(shape: Shape) -> list[int]:
    """Number of channels at each resolution, finest first: half of `features` at the finest, then `features`."""
    return [max(1, shape.features // 2)] + [shape.features] * shape.doublings
