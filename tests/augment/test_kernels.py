"""Operations that weigh neighbours, against SciPy, scikit-image's formulas, Pillow and loops."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from hardset.pipeline.augment.kernels import disk_kernel, line_kernel, zoom_blurred
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.batches import Pixels
from tests.augment.images import SHAPES, change, far, photograph


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0, 2.5])
def test_gaussian_blur_is_scipys(shape: tuple[int, int, int], sigma: float) -> None:
    image = photograph(*shape)
    wanted = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest", truncate=4)
    assert far(change("gaussian_blur", image, sigma=sigma), wanted) <= 1


@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
@pytest.mark.parametrize("size", [3, 5])
def test_median_blur_is_scipys(shape: tuple[int, int, int], size: int) -> None:
    image = photograph(*shape)
    wanted = ndimage.median_filter(image, (size, size, 1), mode="nearest")
    assert far(change("median_blur", image, size=size), wanted) == 0


@pytest.mark.parametrize(("length", "degrees"), [(5.0, 0.0), (7.0, 90.0), (6.5, 30.0), (1.0, 12.0)])
def test_motion_blur_weighs_a_line_evenly(length: float, degrees: float) -> None:
    kernel = line_kernel(length, degrees)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
    assert abs((kernel * x).sum()) < 1e-5 and abs((kernel * y).sum()) < 1e-5
    along = x * np.cos(np.radians(degrees)) - y * np.sin(np.radians(degrees))
    across = x * np.sin(np.radians(degrees)) + y * np.cos(np.radians(degrees))
    # Variance of the points of the line, and at most a quarter from bilinear weights about each.
    points = np.linspace(-(length - 1) / 2, (length - 1) / 2, int(np.ceil(length)))
    assert points.var() - 1e-6 <= (kernel * along**2).sum() <= points.var() + 0.26
    assert np.abs(across[kernel > 1e-6]).max() < 1.5
    if length == 5:
        assert np.allclose(kernel[kernel > 0], 0.2) and (kernel > 0).sum() == 5
    image = photograph(31, 45)
    wanted = ndimage.correlate(image.astype(float), kernel[:, :, None].astype(float), mode="nearest")
    assert far(change("motion_blur", image, length=length, degrees=degrees), wanted) <= 1


@pytest.mark.parametrize(("radius", "alias"), [(0.3, 0.4), (3.0, 0.1), (5.5, 0.5), (10.0, 0.5)])
def test_defocus_blur_is_a_softened_disk(radius: float, alias: float) -> None:
    reach = 8 if radius <= 8 else int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= radius**2).astype(float)
    side = 3 if radius <= 8 else 5
    line = np.exp(-0.5 * (np.arange(side) - side // 2) ** 2 / alias**2)
    soft = ndimage.correlate(disk / disk.sum(), np.outer(line, line) / line.sum() ** 2, mode="mirror")
    assert np.abs(disk_kernel(radius, alias) - soft).max() < 1e-6
    image = photograph(31, 45)
    wanted = ndimage.correlate(image.astype(float), soft[:, :, None], mode="mirror")
    assert far(change("defocus_blur", image, radius=radius, alias=alias), wanted) <= 1


def clipped_zoom(image: np.ndarray, factor: float) -> np.ndarray:
    """ImageNet-C's, for square images."""
    side = image.shape[0]
    cut = int(np.ceil(side / factor))
    top = (side - cut) // 2
    found = ndimage.zoom(image[top : top + cut, top : top + cut], (factor, factor, 1), order=1)
    trim = (found.shape[0] - side) // 2
    return found[trim : trim + side, trim : trim + side]


@pytest.mark.parametrize(("last", "step"), [(1.06, 0.01), (1.26, 0.02)])
def test_zoom_blur_is_the_mean_of_imagenet_cs_enlargements(last: float, step: float) -> None:
    image = photograph(64, 64)
    factors = np.arange(1, last, step)
    total = image.astype(float) + sum(clipped_zoom(image.astype(float), factor) for factor in factors)
    wanted = total / (len(factors) + 1)
    assert far(zoom_blurred(image, last, step), wanted) <= 1


@pytest.mark.parametrize(("shift", "rounds"), [(1, 1), (2, 3)])
def test_glass_blur_swaps_pixels_one_after_the_other(shift: int, rounds: int) -> None:
    """Without the two blurs the pixels are those of before in other places, as the loop over pixels puts them."""
    image, stream = photograph(31, 45), RowStream(5, 0)
    found = change("glass_blur", image, sigma=0.05, shift=shift, rounds=rounds)
    wanted = image.copy()
    height, width = image.shape[:2]
    down, right = range(height - shift, shift, -1), range(width - shift, shift, -1)
    count = len(down) * len(right)
    words = stream.words(2 * rounds * count).reshape(rounds, 2, len(down), len(right))
    for number in range(rounds):
        for i, y in enumerate(down):
            for j, x in enumerate(right):
                to_y, to_x = (int(one) * 2 * shift // 65536 - shift for one in words[number, :, i, j])
                wanted[[y, y + to_y], [x, x + to_x]] = wanted[[y + to_y, y], [x + to_x, x]]
    assert np.array_equal(found, wanted)
    assert not np.array_equal(found, image)
    assert sorted(map(bytes, found.reshape(-1, 3))) == sorted(map(bytes, image.reshape(-1, 3)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.5])
def test_sharpen_is_pillows(shape: tuple[int, int, int], factor: float) -> None:
    image: Pixels = photograph(*shape)
    picture = Image.fromarray(image[:, :, 0] if shape[2] == 1 else image)
    wanted = np.asarray(ImageEnhance.Sharpness(picture).enhance(factor)).reshape(image.shape)
    # A rounding of the smoothed value, which the factor enlarges.
    assert far(change("sharpen", image, factor=factor), wanted) <= 1 + max(0.0, factor - 1)
