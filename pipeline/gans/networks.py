"""A small class-conditional GAN: generator with class embedding, projection discriminator with spectral norm.

Miyato and Koyama, "cGANs with projection discriminator" (2018); Miyato et al., "Spectral normalization" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

ARCHITECTURE = "hinge-projection-1"


@dataclass(frozen=True)
class Shape:
    """What a generator makes, and from what."""

    classes: int
    height: int
    width: int
    channels: int
    latent: int
    features: int
    """Channels of the widest layer."""

    def __post_init__(self) -> None:
        if self.height % 4 or self.width % 4:
            raise ValueError(f"rows of {self.width} x {self.height} pixels; sides must be multiples of 4")


class GeneratorNet(nn.Module):
    """Latents (N, latent) and classes (N,) to images (N, C, H, W) in [0, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        wide, half = shape.features, shape.features // 2
        self.base = (wide, shape.height // 4, shape.width // 4)
        self.embed = nn.Embedding(shape.classes, shape.latent)
        self.entry = nn.Linear(2 * shape.latent, wide * self.base[1] * self.base[2])
        self.body = nn.Sequential(
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, wide, 3, padding=1),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, shape.channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Images in [0, 1]."""
        start = self.entry(torch.cat((latents, self.embed(classes)), dim=1))
        images: Tensor = self.body(start.view(-1, *self.base))
        return images


class DiscriminatorNet(nn.Module):
    """Images and their classes to one score each; higher is more real."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        wide, half = shape.features, shape.features // 2
        self.body = nn.Sequential(
            spectral_norm(nn.Conv2d(shape.channels, half, 3, padding=1)),
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(half, wide, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Conv2d(wide, wide, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.1),
        )
        self.score = spectral_norm(nn.Linear(wide, 1))
        self.embed = spectral_norm(nn.Embedding(shape.classes, wide))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Scores (N,)."""
        features = self.body(images * 2 - 1).sum((2, 3))
        scores: Tensor = self.score(features).squeeze(1) + (self.embed(classes) * features).sum(1)
        return scores
