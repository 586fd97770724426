"""Random textures, from a row's random numbers: float32 (H, W)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.kernels import gaussian

Texture = NDArray[np.float32]


def plasma(height: int, width: int, decay: float, generator: np.random.Generator) -> Texture:
    """Plasma fractal in [0, 1] by the diamond-square algorithm, as ImageNet-C's fog has it.

    `decay`: factor by which the random part falls from one halving of the grid to the next.
    """
    side = 1 << max(1, math.ceil(math.log2(max(height, width, 2))))
    field = np.zeros((side, side))
    step, rough = side, 100.0
    while step >= 2:
        half = step // 2

        def shaken(sums: NDArray[Any], rough: float = rough) -> NDArray[Any]:
            return sums / 4 + rough * generator.uniform(-rough, rough, sums.shape)

        corners = field[::step, ::step]
        squares = corners + np.roll(corners, -1, axis=0)
        squares = squares + np.roll(squares, -1, axis=1)
        field[half::step, half::step] = shaken(squares)
        middles = field[half::step, half::step]
        field[::step, half::step] = shaken(
            middles + np.roll(middles, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        )
        field[half::step, ::step] = shaken(
            middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        )
        step, rough = half, rough / decay
    field -= field.min()
    return (field / max(field.max(), 1e-12))[:height, :width].astype(np.float32)


def perlin(y: NDArray[Any], x: NDArray[Any], gradients: NDArray[np.float32]) -> Texture:
    """Perlin's gradient noise at rows (H,) and columns (W,); `gradients` (2, G, G) repeat beyond their grid."""
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = (y - top).astype(np.float32)[:, None], (x - left).astype(np.float32)
    size = gradients.shape[1]

    def corner(lower: int, farther: int) -> NDArray[np.float32]:
        found = gradients.take((top + lower) % size, axis=1).take((left + farther) % size, axis=2)
        along: NDArray[np.float32] = found[0] * (down - lower) + found[1] * (right - farther)
        return along

    def smooth(share: NDArray[np.float32]) -> NDArray[np.float32]:
        return share * share * (3 - 2 * share)

    upper = corner(0, 0) + smooth(right) * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + smooth(right) * (corner(1, 1) - corner(1, 0))
    noise: Texture = np.float32(1.5) * (upper + smooth(down) * (lower - upper))
    return noise


def turbulence(height: int, width: int, period: float, octaves: int, generator: np.random.Generator) -> Texture:
    """Sum of absolute Perlin noise at 1, 2, ... 2^(octaves - 1) times the frequency, divided by the same factor."""
    gradients = generator.standard_normal((2, 64, 64), dtype=np.float32)
    gradients /= np.linalg.norm(gradients, axis=0)
    y, x = np.arange(height) / period, np.arange(width) / period
    found = np.zeros((height, width), np.float32)
    for finer in (2**octave for octave in range(octaves)):
        found += np.abs(perlin(finer * y, finer * x, gradients)) / np.float32(finer)
    return found


def coloured_noise(height: int, width: int, power: float, generator: np.random.Generator) -> Texture:
    """Noise of standard deviation 1 whose amplitude rises with frequency as `power` says: 1 blue, -2 brownish.

    Amplitudes are those of ImageNet-C-bar: distance from the middle of the spectrum, or 1 / (distance^2 + 1).
    """
    down = np.minimum(np.arange(height), height - np.arange(height))[:, None]
    right = np.arange(width // 2 + 1)
    distance = np.hypot(down, right)
    amplitude = distance**power if power > 0 else 1 / (distance**2 + 1)
    phases = generator.uniform(0, 2 * np.pi, distance.shape)
    noise = np.fft.irfft2(amplitude * np.exp(1j * phases), (height, width))
    return (noise / max(noise.std(), 1e-12)).astype(np.float32)


def ice(height: int, width: int, generator: np.random.Generator) -> Texture:
    """Texture of frost in [0, 1]: bright needles along the borders of cells, thicker at the rim of the image."""
    short = max(4.0, min(height, width) / 4)
    veins = 1 - np.clip(3 * turbulence(height, width, short, 4, generator), 0, 1)
    grain = turbulence(height, width, short / 4, 3, generator)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    rim = np.clip(0.35 + 0.65 * np.maximum(np.abs(y), np.abs(x)) ** 2, 0, 1)
    return np.clip((0.75 * veins**2 + 0.5 * grain) * rim + 0.15, 0, 1).astype(np.float32)


def splashes(height: int, width: int, cover: float, sigma: float, generator: np.random.Generator) -> Texture:
    """Blobs in [0, 1] over a share of the pixels: the highest places of blurred noise, 0 elsewhere."""
    field = gaussian(generator.normal(size=(height, width)).astype(np.float32), sigma)
    border = float(np.quantile(field, 1 - cover))
    return np.clip((field - border) / max(float(field.max()) - border, 1e-12), 0, 1)
