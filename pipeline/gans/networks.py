"""A class-conditional GAN for images of 8 to 128 pixels per side: generator and projection discriminator.

The discriminator is flattened before its last layers, so its score depends on the image as a whole: one that sums
over places judges a bag of patches, and its generator collapses above 8 pixels.
Projection: Miyato and Koyama, "cGANs with projection discriminator" (2018). Spectral norm: Miyato et al., "Spectral
normalization for generative adversarial networks" (2018). Conditional batch norm: de Vries et al., "Modulating early
visual processing by language" (2017).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hardset.pipeline.gans.shape import Shape

ARCHITECTURE = "projection-2"
"""Name of the generator's layout below; a different layout needs a different name."""

_CLASS_SIZE = 32  # of the class embedding that stands beside the latent
_SCORED = 64  # features that the discriminator's score is a linear function of
_SLOPE = 0.2  # of leaky ReLU


def doublings(shape: Shape) -> int:
    """Number of up-sampling stages, 1 to 5: as many as leave a base of 4 to 8 pixels on the shorter side."""
    return max(1, (min(shape.height, shape.width) // 4).bit_length() - 1)


class ConditionalNorm(nn.Module):
    """Batch norm of (N, C, H, W) with a gain and a bias for each class; at first those of plain batch norm."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.embed = nn.Embedding(classes, 2 * channels)
        nn.init.zeros_(self.embed.weight)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Normalised images, the same shape."""
        gain, bias = self.embed(classes)[:, :, None, None].chunk(2, 1)
        normal: Tensor = self.norm(images) * (1 + gain) + bias
        return normal


class GeneratorNet(nn.Module):
    """Latents (N, latent), standard normal, and classes (N,) to images (N, C, H, W) in [0, 1].

    Sides that no power of two divides are made larger and cropped.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        stages = doublings(shape)
        widths = _widths(shape, stages)[::-1]
        self.base = (widths[0], -(-shape.height // 2**stages), -(-shape.width // 2**stages))
        self.sides = (shape.height, shape.width)
        self.embed = nn.Embedding(shape.classes, _CLASS_SIZE)
        self.entry = nn.Linear(shape.latent + _CLASS_SIZE, self.base[0] * self.base[1] * self.base[2])
        self.norms = nn.ModuleList(ConditionalNorm(shape.classes, width) for width in widths)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
            for inputs, outputs in pairwise(widths)
        )
        self.out = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1], float32."""
        hidden = self.entry(torch.cat((latents, self.embed(classes)), dim=1)).view(-1, *self.base)
        hidden = F.relu(self.norms[0](hidden, classes))
        for double, norm in zip(self.doublings, self.norms[1:], strict=True):
            hidden = F.relu(norm(double(hidden), classes))
        height, width = self.sides
        images = self.out(hidden)[:, :, :height, :width].float()
        return (torch.tanh(images) + 1) / 2


class DiscriminatorNet(nn.Module):
    """Images (N, C, H, W) in [0, 1] and their classes (N,) to scores (N,), float32; higher is more real.

    `spectral`: normalises every layer, so that the scores are Lipschitz in the image.
    """

    def __init__(self, shape: Shape, *, spectral: bool) -> None:
        super().__init__()
        wrap = spectral_norm if spectral else _unchanged
        stages = doublings(shape)
        widths = _widths(shape, stages)
        # Halving first takes a third less time than a 3x3 convolution at full size, at the same Fréchet distance
        # (digits, one core). Where two halvings are all, a 3x3 convolution after them widens.
        halving = [*widths[: stages - 1], widths[-1]] if stages > 2 else widths[:stages]
        height, width, inputs, layers = shape.height, shape.width, shape.channels, []
        for outputs in halving:
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            inputs, height, width = outputs, height // 2, width // 2
        if stages <= 2:
            layers.append(nn.Conv2d(inputs, widths[-1], 3, padding=1))
        self.body = nn.Sequential(*(part for layer in layers for part in (wrap(layer), nn.LeakyReLU(_SLOPE))))
        self.whole = wrap(nn.Linear(widths[-1] * height * width, _SCORED))
        self.score = wrap(nn.Linear(_SCORED, 1))
        self.embed = wrap(nn.Embedding(shape.classes, _SCORED))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Scores (N,)."""
        seen = self.whole(self.body(images * 2 - 1).flatten(1))
        features = F.leaky_relu(seen, _SLOPE).float()
        scores: Tensor = self.score(features).float().squeeze(1) + (self.embed(classes) * features).sum(1)
        return scores


def _widths(shape: Shape, stages: int) -> list[int]:
    """Number of channels at each of the `stages` + 1 resolutions, finest first."""
    widest, half, quarter = shape.features, max(1, shape.features // 2), max(1, shape.features // 4)
    if stages == 1:
        return [half, widest]
    return [quarter, *[half] * (stages - 1), widest]


def _unchanged(layer: nn.Module) -> nn.Module:
    return layer
