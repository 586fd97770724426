"""Natural changes, not chosen by an adversary: common corruptions, and shifts by a few pixels.

The corruptions are those of Hendrycks & Dietterich 2019 (arXiv:1903.12261) that apply to grey and colour images alike,
with the strengths of their CIFAR-10-C, which were chosen for 32 x 32 pixels. Random numbers are keyed by row.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from kornia.color import hsv_to_rgb, rgb_to_hsv
from kornia.filters import gaussian_blur2d
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hardset.pipeline.batches import Pixels
from hardset.pipeline.compute import rng
from hardset.pipeline.statistics.shares import missing
from hardset.schemas.job.evaluation import CORRUPTIONS

SHIFT = "shift"


@dataclass(frozen=True)
class Noise:
    """Random stream of one corruption, the same for every severity, so that severities are comparable."""

    seeds: Tensor
    """Row seeds, int64 (N,)."""
    corruption: int
    """Position of the corruption in `CORRUPTIONS`."""

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal values, float32 (N, *shape)."""
        return rng.normal(self.seeds, rng.Draw.CORRUPTION, shape, step=self.corruption)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Uniform values in [0, 1), float64 (N, *shape)."""
        return rng.uniform(self.seeds, rng.Draw.CORRUPTION, shape, dtype=torch.float64, step=self.corruption)


Change = Callable[[Tensor, float, Noise], Tensor]
"""(images in [0, 1], float32 (N, C, H, W); strength; noise) -> images of the same shape, which may leave [0, 1]."""


def corrupted(pixels: Pixels, seeds: NDArray[np.int64], name: str, severity: int) -> Pixels:
    """Rows under a corruption of severity 1 to 5, rounded to 8 bits. uint8 (N, H, W, C); `seeds`: int64 (N,)."""
    corruption = CORRUPTION_TABLE[name]
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).to(torch.float32) / 255
    noise = Noise(torch.from_numpy(seeds), list(CORRUPTIONS).index(name))  # type: ignore[arg-type]
    changed = corruption.change(images, corruption.strengths[severity - 1], noise)
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def shifted(pixels: Pixels, most: int) -> Iterator[Pixels]:
    """Yields the rows under each shift of up to `most` pixels per axis, except the zero shift, padded with black."""
    height, width = pixels.shape[1:3]
    padded = np.pad(pixels, ((0, 0), (most, most), (most, most), (0, 0)))
    for down in range(2 * most + 1):
        for right in range(2 * most + 1):
            if (down, right) != (most, most):
                yield padded[:, down : down + height, right : right + width]


@dataclass(frozen=True)
class Corruption:
    """A corruption and its five strengths."""

    change: Change
    strengths: tuple[float, float, float, float, float]


def _gaussian_noise(images: Tensor, deviation: float, noise: Noise) -> Tensor:
    return images + deviation * noise.normal(tuple(images.shape[1:]))


def _shot_noise(images: Tensor, photons: float, noise: Noise) -> Tensor:
    """Poisson noise by inversion of the distribution function, tabulated for the 256 values of an 8-bit pixel."""
    try:
        from scipy.stats import poisson  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing("scipy") from None
    drawn, levels = noise.uniform(tuple(images.shape[1:])).numpy(), (images * 255).round().numpy()
    # The tail beyond ten standard deviations plus ten photons is below the resolution of a 32-bit uniform value.
    most = int(photons + 10 * photons**0.5 + 10)
    counts = np.zeros(levels.shape)
    for level in np.unique(levels):
        here = levels == level
        below = poisson.cdf(np.arange(most), level / 255 * photons)
        counts[here] = np.searchsorted(below, drawn[here])
    return torch.from_numpy(counts / photons).float()


def _impulse_noise(images: Tensor, amount: float, noise: Noise) -> Tensor:
    drawn = noise.uniform(tuple(images.shape[1:]))
    extreme = (drawn < amount / 2).to(images.dtype)
    return torch.where(drawn < amount, extreme, images)


def _speckle_noise(images: Tensor, deviation: float, noise: Noise) -> Tensor:
    return images * (1 + deviation * noise.normal(tuple(images.shape[1:])))


def _gaussian_blur(images: Tensor, deviation: float, noise: Noise) -> Tensor:
    side = 2 * int(4 * deviation + 0.5) + 1
    blurred: Tensor = gaussian_blur2d(images, (side, side), (deviation, deviation), border_type="replicate")
    return blurred


def _brightness(images: Tensor, added: float, noise: Noise) -> Tensor:
    if images.shape[1] == 1:
        return images + added
    hue, saturation, value = rgb_to_hsv(images).unbind(1)
    brighter: Tensor = hsv_to_rgb(torch.stack((hue, saturation, (value + added).clamp(0, 1)), dim=1))
    return brighter


def _contrast(images: Tensor, factor: float, noise: Noise) -> Tensor:
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * factor + mean


def _pixelate(images: Tensor, share: float, noise: Noise) -> Tensor:
    def coarse(image: Image.Image) -> Image.Image:
        few = max(1, int(image.width * share)), max(1, int(image.height * share))
        return image.resize(few, Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)

    return _each(images, coarse)


def _jpeg(images: Tensor, quality: float, noise: Noise) -> Tensor:
    def compressed(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(quality))
        return Image.open(file)

    return _each(images, compressed)


def _each(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Images changed one by one with Pillow."""
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    grey = levels.shape[3] == 1
    changed = [np.asarray(change(Image.fromarray(row[:, :, 0] if grey else row))) for row in levels]
    return torch.from_numpy(np.stack(changed).reshape(levels.shape)).permute(0, 3, 1, 2).float() / 255


CORRUPTION_TABLE: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian_noise": Corruption(_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
        "shot_noise": Corruption(_shot_noise, (500, 250, 100, 75, 50)),
        "impulse_noise": Corruption(_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
        "speckle_noise": Corruption(_speckle_noise, (0.06, 0.10, 0.12, 0.16, 0.20)),
        "gaussian_blur": Corruption(_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
        "brightness": Corruption(_brightness, (0.05, 0.10, 0.15, 0.20, 0.30)),
        "contrast": Corruption(_contrast, (0.75, 0.50, 0.40, 0.30, 0.15)),
        "pixelate": Corruption(_pixelate, (0.95, 0.90, 0.85, 0.75, 0.65)),
        "jpeg": Corruption(_jpeg, (80, 65, 58, 50, 40)),
    }
)
"""Strengths by severity. Units in order: standard deviation, photons per full value, share of values, standard
deviation relative to the value, standard deviation in pixels, added value, factor, share of the side, JPEG quality."""
