"""Operations that weigh neighbouring pixels."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.draws import numbers, wholes
from hardset.pipeline.augment.noise import rounded
from hardset.pipeline.augment.operation import Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.kernels import (
    DefocusBlur,
    GaussianBlur,
    GlassBlur,
    MedianBlur,
    MotionBlur,
    Sharpen,
    ZoomBlur,
)

_REACH = 4  # standard deviations, as scikit-image and SciPy have it
_SMOOTH: NDArray[np.float32] = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / np.float32(13)
"""Pillow's ImageFilter.SMOOTH."""


def gaussian(image: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Values (H, W) or (H, W, C) of any type, blurred by a Gaussian; beyond the rim lies the nearest value."""
    side = 2 * int(_REACH * sigma + 0.5) + 1
    line = np.exp(-0.5 * (np.arange(side) - side // 2) ** 2 / sigma**2)
    line = (line / line.sum()).astype(np.float32)
    # Given kernels are exact to a level; OpenCV's own for 8 bits have coefficients of 8 bits.
    blurred: NDArray[Any] = cv2.sepFilter2D(image, -1, line, line, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(image.shape)


def weighed(image: NDArray[Any], kernel: NDArray[np.float32], mode: int = cv2.BORDER_REPLICATE) -> NDArray[Any]:
    """Values correlated with a kernel whose middle is its origin."""
    found: NDArray[Any] = cv2.filter2D(image, -1, kernel, borderType=mode)
    return found.reshape(image.shape)


def _gaussian_blur(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return gaussian(image, drawn["sigma"])


def _median_blur(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return cv2.medianBlur(image, drawn["size"])


def line_kernel(length: float, degrees: float) -> NDArray[np.float32]:
    """Even weights of a point per pixel of a line, counter-clockwise from the right, each spread over four pixels.

    They add up to 1; a line of 5 pixels along an axis has five weights of a fifth.
    """
    half = max(0, math.ceil((length - 1) / 2))
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, max(1, math.ceil(length)))
    x, y = along * math.cos(math.radians(degrees)), -along * math.sin(math.radians(degrees))
    kernel = np.zeros((2 * half + 3, 2 * half + 3))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right in (0, 1):
        for down in (0, 1):
            weight = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
            np.add.at(kernel, (top + down + half + 1, left + right + half + 1), weight)
    return (kernel / kernel.sum()).astype(np.float32)


def _motion_blur(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return weighed(image, line_kernel(drawn["length"], drawn["degrees"]))


def disk_kernel(radius: float, alias: float) -> NDArray[np.float32]:
    """Disk of ImageNet-C: pixels within the radius, softened by a Gaussian of 3 or 5 pixels; adds up to 1."""
    reach = 8 if radius <= 8 else math.ceil(radius)
    at = np.arange(-reach, reach + 1)
    disk = ((at**2 + at[:, None] ** 2) <= radius**2).astype(np.float32)
    side = 3 if radius <= 8 else 5
    soft: NDArray[np.float32] = cv2.GaussianBlur(disk / disk.sum(), (side, side), alias) if alias else disk / disk.sum()
    return soft


def _defocus_blur(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return weighed(image, disk_kernel(drawn["radius"], drawn["alias"]), cv2.BORDER_REFLECT_101)


def zoomed(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Middle of the image enlarged to its size, as ImageNet-C's clipped_zoom: corners of the cut stay corners."""
    scales, offsets = [], []
    for side in image.shape[1::-1]:
        cut = math.ceil(side / factor)
        whole = max(2, round(cut * factor))
        scales.append((cut - 1) / (whole - 1))
        offsets.append((side - cut) // 2 + (whole - side) // 2 * scales[-1])
    matrix = np.array([[scales[0], 0, offsets[0]], [0, scales[1], offsets[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found: NDArray[np.float32] = cv2.warpAffine(
        image, matrix, image.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return found.reshape(image.shape)


def zoom_blurred(image: Pixels, last: float, step: float) -> Pixels:
    """Mean of the image and its enlargements by 1, 1 + step, ... up to `last`, which is left out."""
    values = image.astype(np.float32)
    factors = np.arange(1, last, step) if last > 1 else np.ones(1)
    total = values + sum(zoomed(values, float(factor)) for factor in factors)
    return rounded(total / (len(factors) + 1))


def _zoom_blur(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return zoom_blurred(image, drawn["factor"], drawn["step"])


def glass_blurred(image: Pixels, sigma: float, shift: int, rounds: int, stream: RowStream) -> Pixels:
    """Image blurred, its pixels swapped with neighbours one after the other from the last to the first, and blurred.

    The swaps depend on those before, so they are made on a list of places, in plain Python: faster than on the pixels.
    """
    height, width = image.shape[:2]
    down, right = np.arange(height - shift, shift, -1), np.arange(width - shift, shift, -1)
    down, right = down[down < height], right[right < width]
    places = list(range(height * width))
    if len(down) and len(right):
        here = (down[:, None] * width + right).ravel()
        # The neighbour lies from -shift to shift - 1 away, as in ImageNet-C.
        steps = stream.words(2 * rounds * len(here)).reshape(rounds, 2, -1).astype(np.int64) * (2 * shift) >> 16
        moves = (steps[:, 0] - shift) * width + steps[:, 1] - shift
        for one, other in zip(here.tolist() * rounds, (here + moves).ravel().tolist(), strict=True):
            places[one], places[other] = places[other], places[one]
    soft = gaussian(image, sigma)
    swapped = soft.reshape(height * width, -1)[places].reshape(image.shape)
    return gaussian(swapped, sigma)


def _glass_blur(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return glass_blurred(image, drawn["sigma"], drawn["shift"], drawn["rounds"], stream)


def _sharpen(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    """The outermost pixels stay, as Pillow has it."""
    if min(image.shape[:2]) < len(_SMOOTH):
        return image
    smooth = image.copy()
    smooth[1:-1, 1:-1] = weighed(image, _SMOOTH)[1:-1, 1:-1]
    return cv2.addWeighted(image, drawn["factor"], smooth, 1 - drawn["factor"], 0)


KERNELS = (
    LevelOperation(GaussianBlur, numbers("sigma"), _gaussian_blur),
    LevelOperation(MedianBlur, wholes("size"), _median_blur),
    LevelOperation(MotionBlur, numbers("length", "degrees"), _motion_blur),
    LevelOperation(DefocusBlur, numbers("radius", kept=("alias",)), _defocus_blur),
    LevelOperation(ZoomBlur, numbers("factor", kept=("step",)), _zoom_blur),
    LevelOperation(GlassBlur, numbers("sigma", kept=("shift", "rounds")), _glass_blur),
    LevelOperation(Sharpen, numbers("factor"), _sharpen),
)
