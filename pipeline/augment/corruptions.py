"""The corruptions of ImageNet-C, by the formulas of its authors; what they draw comes from the row's own stream.

Results are rounded where theirs are cut off, and their frost is of photographs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.bar_corruptions import BAR_CHANGES
from hardset.pipeline.augment.compression import encoded, pixelated
from hardset.pipeline.augment.draws import same
from hardset.pipeline.augment.kernels import disk_kernel, gaussian, glass_blurred, weighed, zoom_blurred, zoomed
from hardset.pipeline.augment.noise import (
    rounded,
    with_gaussian_noise,
    with_impulse_noise,
    with_shot_noise,
    with_speckle_noise,
)
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.augment.weather import bleached, fogged, frosted, spattered
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.corruptions import CORRUPTIONS, Corruption, strengths_for

Change: TypeAlias = Callable[[Pixels, Any, RowStream], Pixels]
"""(image, strength, random stream) -> image. uint8 (H, W, C)."""
_NEVER_ABOVE = 0.8  # mud thinner than this is not there


def wand_kernel(radius: float, sigma: float, degrees: float) -> NDArray[np.float32]:
    """ImageMagick's motion blur: half a Gaussian along a line that begins in the pixel."""
    reach = 2 * math.ceil(radius) + 1
    weights = np.exp(-(np.arange(reach) ** 2) / (2 * sigma**2))
    along = np.arange(reach)
    x = np.ceil(along * math.cos(math.radians(degrees)) - 0.5).astype(int)
    y = np.ceil(along * math.sin(math.radians(degrees)) - 0.5).astype(int)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    np.add.at(kernel, (y + reach, x + reach), weights / weights.sum())
    return kernel


def _motion_blur(image: Pixels, strength: Any, stream: RowStream) -> Pixels:
    radius, sigma = strength
    return weighed(image, wand_kernel(radius, sigma, float(stream.generator().uniform(-45, 45))))


def _snow(image: Pixels, strength: Any, stream: RowStream) -> Pixels:
    mean, deviation, factor, threshold, radius, sigma, share = strength
    height, width = image.shape[:2]
    layer = (mean + deviation * stream.normal((height, width))).astype(np.float32)
    layer = zoomed(layer, factor) if factor > 1 else layer
    layer = np.where(layer < threshold, 0, layer).clip(0, 1)
    degrees = float(stream.generator(1).uniform(-135, -45))
    flakes = 255 * weighed(layer, wand_kernel(radius, sigma, degrees))[:, :, None]
    return rounded(bleached(image, 1 - share) + flakes + flakes[::-1, ::-1])


def _brightness(image: Pixels, added: float, stream: RowStream) -> Pixels:
    if image.shape[2] == 1:
        return rounded(image + 255 * added)
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[:, :, 2] = (hsv[:, :, 2] + np.float32(added)).clip(0, 1)
    return rounded(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def _saturate(image: Pixels, strength: Any, stream: RowStream) -> Pixels:
    if image.shape[2] == 1:
        return image
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[:, :, 1] = (hsv[:, :, 1] * strength[0] + strength[1]).clip(0, 1)
    return rounded(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def _contrast(image: Pixels, factor: float, stream: RowStream) -> Pixels:
    means = np.array(cv2.mean(image)[: image.shape[2]])
    return rounded((image - means) * factor + means)


def _elastic(image: Pixels, strength: Any, stream: RowStream) -> Pixels:
    height, width = image.shape[:2]
    side = min(height, width)
    alpha, sigma, shift = (side * share for share in strength)
    generator = stream.generator()
    centre, third = np.array([width // 2, height // 2], np.float32), side // 3
    points = np.array([[1, 1], [1, -1], [-1, -1]], np.float32) * third + centre
    moved = (points + generator.uniform(-shift, shift, points.shape)).astype(np.float32)
    values = image.astype(np.float32)
    if third:
        matrix = cv2.getAffineTransform(points, moved)
        values = cv2.warpAffine(values, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    fields = [alpha * _smooth(generator.uniform(-1, 1, (height, width)).astype(np.float32), sigma) for _ in range(2)]
    x = np.arange(width, dtype=np.float32) + fields[0]
    y = np.arange(height, dtype=np.float32)[:, None] + fields[1]
    return rounded(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _smooth(field: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Field blurred by a Gaussian of three standard deviations."""
    if not sigma:
        return field
    side = 2 * int(3 * sigma + 0.5) + 1
    found: NDArray[np.float32] = cv2.GaussianBlur(field, (side, side), sigma, borderType=cv2.BORDER_REFLECT)
    return found


def _spatter(image: Pixels, strength: Any, stream: RowStream) -> Pixels:
    mean, deviation, sigma, threshold, last, mud = strength
    height, width = image.shape[:2]
    liquid = gaussian((mean + deviation * stream.normal((height, width))).astype(np.float32), sigma)
    liquid[liquid < threshold] = 0
    if mud:
        cover = gaussian((liquid > threshold).astype(np.float32), last)
        return spattered(image, np.where(cover < _NEVER_ABOVE, 0, cover), "mud")
    levels = (liquid * 255).clip(0, 255).astype(np.uint8)
    edge = 255 - cv2.Canny(levels, 50, 150)
    depth = np.minimum(cv2.distanceTransform(edge, cv2.DIST_L2, 5), 20)
    depth = cv2.equalizeHist(cv2.blur(depth, (3, 3)).astype(np.uint8))
    depth = cv2.filter2D(depth, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32))
    cover = levels * cv2.blur(depth, (3, 3)).astype(np.float32)
    return spattered(image, last * cover / max(float(cover.max()), 1e-12), "water")


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "gaussian_noise": with_gaussian_noise,
        "shot_noise": with_shot_noise,
        "impulse_noise": with_impulse_noise,
        "defocus_blur": lambda image, it, stream: weighed(image, disk_kernel(*it), cv2.BORDER_REFLECT_101),
        "glass_blur": lambda image, it, stream: glass_blurred(image, it[0], it[1], it[2], stream),
        "motion_blur": _motion_blur,
        "zoom_blur": lambda image, it, stream: zoom_blurred(image, *it),
        "snow": _snow,
        "frost": lambda image, it, stream: frosted(image, it[0], it[1], stream),
        "fog": lambda image, it, stream: fogged(image, it[0], it[1], stream),
        "brightness": _brightness,
        "contrast": _contrast,
        "elastic": _elastic,
        "pixelate": lambda image, it, stream: pixelated(image, it),
        "jpeg": lambda image, it, stream: encoded(image, "JPEG", quality=it),
        "speckle_noise": with_speckle_noise,
        "gaussian_blur": lambda image, it, stream: gaussian(image, it),
        "spatter": _spatter,
        "saturate": _saturate,
        **BAR_CHANGES,
    }
)
"""The code of each corruption, by its name in `schemas.job.operations.corruptions`."""


def corrupt(image: Pixels, name: str, severity: int, strengths: str, stream: RowStream) -> Pixels:
    """One image under a corruption of a severity of 1 to 5. `strengths`: cifar, imagenet, or auto by the size."""
    scale: Any = strengths_for(*image.shape[:2]) if strengths == "auto" else strengths
    return CHANGES[name](image, CORRUPTIONS[name].at(severity, scale), stream).reshape(image.shape)


def _draw(spec: Corruption, stream: Stream) -> Columns:
    names = stream.integers(0, len(spec.names)).tolist()
    return {
        "corruption": [spec.names[number] for number in names],
        "severity": stream.whole(1, spec.severity),
        "strengths": same(spec.strengths, stream),
    }


def _change(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return corrupt(image, drawn["corruption"], drawn["severity"], drawn["strengths"], stream)


CORRUPTION = LevelOperation(Corruption, _draw, _change)
