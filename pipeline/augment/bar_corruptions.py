"""The corruptions of ImageNet-C-bar, by the formulas of its authors, worked out for all pixels at once.

A strength is a level from 0 to 10, which each corruption scales. Colours stand for three channels there; here images
have as many as they have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.kernels import gaussian
from hardset.pipeline.augment.noise import rounded
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.augment.textures import coloured_noise, turbulence
from hardset.pipeline.batches import Pixels

_PERLIN_PERIOD = 32 / 224  # of the side
_OCTAVES = 5
_REFRACTION = 4.0
_FLAT = 1 - 1e-3  # cosine from which light goes on straight
_GREY = 128


def _places(image: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Rows (H, 1) and columns (W,) as floats, and the side that lengths are in terms of."""
    height, width = image.shape[:2]
    return np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64), min(height, width)


def _blue_noise_sample(image: Pixels, level: float, stream: RowStream) -> Pixels:
    noise = coloured_noise(image.shape[0], image.shape[1], 1.0, stream.generator())
    return image * (noise > 0.3 * level - 2.5)[:, :, None].astype(np.uint8)


def _brownish_noise(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator, (height, width, channels) = stream.generator(), image.shape
    noise = [coloured_noise(height, width, -2.0, generator) for _ in range(channels)]
    return rounded(image + 6.4 * level * np.stack(noise, axis=2))


def _caustic(y: NDArray[Any], x: NDArray[Any], time: float) -> NDArray[np.float64]:
    """Light at the bottom of moving water, in [0, 1]; places in terms of the pattern's period."""
    p, q = (one % 1 * 2 * math.pi - 250 for one in (y, x))
    i, j, light = p, q, np.ones(np.broadcast_shapes(y.shape, x.shape))
    for number in range(5):
        at = time * (1 - 3.5 / (number + 1))
        i, j = p + np.cos(at - i) + np.sin(at + j), q + np.sin(at - j) + np.cos(at + i)
        length = np.hypot(p / (np.sin(i + at) / 0.005), q / (np.cos(j + at) / 0.005))
        light = light + 1 / np.maximum(length, 1e-12)
    return np.clip(np.abs(1.17 - (light / 5) ** 1.4) ** 8, 0, 1)


def _caustic_refraction(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, side = _places(image)
    time, size = generator.uniform(0.5, 2.0), generator.uniform(0.75, 1.25) * side
    light = np.pad(gaussian(_caustic(y / size, x / size, time).astype(np.float32), 1.0), 1).astype(np.float64)
    down, right = light[2:, 1:-1] - light[:-2, 1:-1], light[1:-1, 2:] - light[1:-1, :-2]
    slope = np.hypot(down, right)
    cosine = 1 / np.sqrt(1 + slope**2)
    angle = np.arccos(cosine)
    # The ray leaves at a smaller angle to the normal; its part along the image is in the direction of the slope.
    bent = np.where(cosine >= _FLAT, 0, np.sin(angle - np.arcsin(np.sin(angle) / _REFRACTION)))
    reach = 0.05 * level * side * bent / np.maximum(slope, 1e-12)
    values = cv2.remap(
        image.astype(np.float32),
        (x + reach * right).astype(np.float32),
        (y + reach * down).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    ).reshape(image.shape)
    return rounded(values + (255 * 0.2 * level * (right - down))[:, :, None])


def _checkerboard_cutout(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, side = _places(image)
    angle, scale = generator.uniform(0, 2 * math.pi), max(generator.uniform(0.1, 0.25) * side, 1.0)
    down = np.floor((math.cos(angle) * y + math.sin(angle) * x) / scale).astype(int)
    right = np.floor((math.cos(angle) * x - math.sin(angle) * y) / scale).astype(int)
    cells = math.ceil(2 * math.hypot(*image.shape[:2]) / scale) + 2
    covered = generator.uniform(size=(cells, cells)) < level / 10
    hit = (down % 2 == right % 2) & covered[down % cells, right % cells]
    return np.where(hit[:, :, None], np.uint8(_GREY), image)


def _cocentric_sine_waves(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, side = _places(image)
    y, x = y - generator.uniform(0, image.shape[0]), x - generator.uniform(0, image.shape[1])
    frequency = generator.uniform(0, 10)
    amplitude, ring = generator.uniform(0, side / 10), max(generator.uniform(0, side / 10), 1e-3)
    distance = np.hypot(y, x) + np.sin(np.arctan2(x, y) * frequency) * amplitude
    return rounded(image + (12.8 * level * (distance % ring / ring - 0.5))[:, :, None])


def _rays(y: NDArray[Any], x: NDArray[Any], lengths: NDArray[Any], amount: float) -> NDArray[np.float64]:
    """Light of a sparkle at places relative to its centre, in [0, 1]; its rays have these lengths."""
    turn = (np.arctan2(x, y) + math.pi) / (2 * math.pi) * len(lengths)
    ray = np.floor(turn).astype(int)
    between = turn - ray
    here, following = lengths[ray % len(lengths)], lengths[(ray + 1) % len(lengths)]
    length = here + between * (following - here)
    glow = (length**2 / (y**2 + x**2 + 1e-4)) ** ((100 - amount) / 50)
    return np.clip((1 - (between - 0.5) ** 2) * glow, 0, 1)


def _sparkles(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, side = _places(image)
    radius, dark = level / 100 * side, np.ones(image.shape[:2])
    for _ in range(5):
        top, left = generator.uniform(0, image.shape[0]), generator.uniform(0, image.shape[1])
        lengths = np.maximum(1, radius * (1 + 0.25 * generator.normal(size=generator.integers(50, 200))))
        dark *= 1 - _rays(y - top, x - left, lengths, 50)
    return rounded(255 - (255.0 - image) * dark[:, :, None])


def _inverse_sparkles(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, side = _places(image)
    top, left = (generator.uniform(0.25, 0.75) * whole for whole in image.shape[:2])
    lengths = 0.25 * side * (1 + 0.25 * generator.normal(size=generator.integers(50, 200)))
    kept = _rays(y - top, x - left, lengths, 100 - 6.5 * level)
    return rounded(255 - (255.0 - image) * kept[:, :, None])


def _perlin_noise(image: Pixels, level: float, stream: RowStream) -> Pixels:
    height, width, _ = image.shape
    period = max(_PERLIN_PERIOD * min(height, width), 1e-3)
    noise = np.clip(0.5 * turbulence(height, width, period, _OCTAVES, stream.generator()) + 0.5, 0, 1)
    share = 0.05 * level
    return rounded((1 - share) * image + 255 * share * noise[:, :, None])


def _plasma_noise(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, side = _places(image)
    time, rounds = generator.uniform(0, 6 * math.pi), int(generator.integers(4, 7))
    sharpness, scale = generator.uniform(0.5, 1.0), generator.uniform(0.075, 0.2) * side
    y, x = (one + np.zeros(image.shape[:2]) for one in (y / scale, x / scale))
    a, b, c, d = 1.0, 1.0, 1.0, 0.0
    for _ in range(rounds):
        right, down = np.cos(y * a - d + time / b) / c, np.sin(x * a - d + time / b) / c
        x, y = x + right - 0.3 * down, y + down + 0.3 * right
        a, b, c, d = a * 1.93, b * 1.15, c * (2.25 - sharpness), d * time * b
    waves = np.stack([np.sin(x - time), np.sin(y + time), np.sin((x + y + math.sin(time)) * 0.5)], axis=2)
    noise = waves if image.shape[2] == waves.shape[2] else waves.mean(axis=2, keepdims=True)
    return rounded((1 - 6.4 * level / 255) * image + 6.4 * level * noise)


def _single_frequency_greyscale(image: Pixels, level: float, stream: RowStream) -> Pixels:
    generator = stream.generator()
    y, x, _ = _places(image)
    first = generator.uniform(-math.pi, math.pi)
    second = generator.uniform(-abs(first), abs(first))
    right, down = (first, second) if generator.integers(2) else (second, first)
    wave = np.sin(x * right + y * down + generator.uniform(0, 2 * math.pi))
    return rounded(image + 19.6 * level * wave[:, :, None])


BAR_CHANGES: Mapping[str, Callable[[Pixels, Any, RowStream], Pixels]] = MappingProxyType(
    {
        "blue_noise_sample": _blue_noise_sample,
        "brownish_noise": _brownish_noise,
        "caustic_refraction": _caustic_refraction,
        "checkerboard_cutout": _checkerboard_cutout,
        "cocentric_sine_waves": _cocentric_sine_waves,
        "inverse_sparkles": _inverse_sparkles,
        "perlin_noise": _perlin_noise,
        "plasma_noise": _plasma_noise,
        "single_frequency_greyscale": _single_frequency_greyscale,
        "sparkles": _sparkles,
    }
)
"""The code of each corruption, by its name in `schemas.job.operations.corruptions`."""
