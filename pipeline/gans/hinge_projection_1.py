"""The generator of files that name the architecture hinge-projection-1: read and sampled from, trained no more.

Sides of 8 to 32 pixels that are multiples of 4. Its place was taken because training it collapses above 8 pixels.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from hardset.pipeline.gans.shape import Shape

ARCHITECTURE = "hinge-projection-1"
_SMALLEST, _LARGEST, _MULTIPLE = 8, 32, 4  # sides, in pixels


class GeneratorNet(nn.Module):
    """Latents (N, latent), standard normal, and classes (N,) to images (N, C, H, W) in [0, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if any(side % _MULTIPLE or not _SMALLEST <= side <= _LARGEST for side in (shape.height, shape.width)):
            raise ValueError(f"{ARCHITECTURE} makes no images of {shape.height} x {shape.width} pixels")
        doublings = _doublings(shape)
        widths = [shape.features] * doublings + [max(1, shape.features // 2)]
        scale = 2**doublings
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


def _doublings(shape: Shape) -> int:
    """Number of up-sampling stages, 2 or 3: as many as leave an integer base size of at least 2 pixels."""
    return 3 if shape.height % 8 == 0 and shape.width % 8 == 0 and min(shape.height, shape.width) >= 16 else 2
