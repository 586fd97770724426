"""Operations on single values and on colours, against Pillow, scikit-learn's photograph and loops."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from hardset.pipeline.augment.table import OPERATIONS
from hardset.pipeline.batches import Pixels
from tests.augment.images import SHAPES, change, far, photograph


def picture(image: Pixels) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def by_pillow(image: Pixels, work: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.asarray(work(picture(image))).reshape(image.shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tables_are_those_of_pillow_and_of_formulas(shape: tuple[int, int, int]) -> None:
    image = photograph(*shape)
    assert far(change("invert", image), by_pillow(image, ImageOps.invert)) == 0
    for threshold in (0, 90, 128, 256):
        wanted = by_pillow(image, lambda one, at=threshold: ImageOps.solarize(one, at))
        assert far(change("solarize", image, threshold=threshold), wanted) == 0
    for bits in (1, 3, 8):
        wanted = by_pillow(image, lambda one, kept=bits: ImageOps.posterize(one, kept))
        assert far(change("posterize", image, bits=bits), wanted) == 0
    assert far(change("autocontrast", image), by_pillow(image, ImageOps.autocontrast)) == 0
    assert far(change("equalize", image), by_pillow(image, ImageOps.equalize)) == 0
    for factor in (0.0, 0.4, 1.0, 1.9):
        wanted = by_pillow(image, lambda one, by=factor: ImageEnhance.Contrast(one).enhance(by))
        assert far(change("contrast", image, factor=factor), wanted) <= 1 + (factor > 1)
        wanted = by_pillow(image, lambda one, by=factor: ImageEnhance.Brightness(one).enhance(by))
        assert far(change("brightness", image, factor=factor, amount=0.0), wanted) <= 1
    values = image / 255
    assert far(change("brightness", image, factor=1.0, amount=0.2), 255 * (values + 0.2).clip(0, 1)) <= 0.5
    assert far(change("gamma", image, gamma=1.7), 255 * values**1.7) <= 0.5 + 1e-9


def test_a_tone_curve_is_a_bezier_curve_from_black_to_white() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    points = np.array([0, 0.45, 0.6, 1])
    wanted = []
    for at in np.arange(256) / 255:
        level = points
        while len(level) > 1:  # de Casteljau
            level = level[:-1] + at * (level[1:] - level[:-1])
        wanted.append(255 * level[0])
    assert far(change("tone_curve", ramp, low=0.45, high=0.6).ravel(), wanted) <= 0.5 + 1e-9


def test_clahe_evens_out_tiles_up_to_its_limit() -> None:
    """One tile without a limit is the cumulative histogram; more tiles are read bilinearly between their middles."""
    image = photograph(64, 64, 1)
    histogram = np.bincount(image.ravel(), minlength=256)
    wanted = np.rint(np.cumsum(histogram) * 255 / image.size)[image]
    assert far(change("clahe", image, limit=256.0, tiles=1), wanted) <= 1
    wanted = clahe_by_hand(image[:, :, 0], 2.0, 4)
    assert far(change("clahe", image, limit=2.0, tiles=4)[:, :, 0], wanted) <= 1
    coloured = photograph(64, 64)
    differences = change("clahe", coloured, limit=2.0, tiles=4).astype(int) - coloured
    inside = (coloured.min(axis=2) > 60) & (coloured.max(axis=2) < 195)
    assert np.ptp(differences[inside], axis=1).max() == 0  # all channels of a pixel move alike


def clahe_by_hand(image: np.ndarray, limit: float, tiles: int) -> np.ndarray:
    side = len(image) // tiles
    area, tables = side * side, np.zeros((tiles, tiles, 256))
    most = max(int(limit * area / 256), 1)
    for i in range(tiles):
        for j in range(tiles):
            part = image[i * side : (i + 1) * side, j * side : (j + 1) * side]
            histogram = np.bincount(part.ravel(), minlength=256)
            over = int((histogram - most).clip(0).sum())
            histogram = histogram.clip(max=most) + over // 256
            rest = over % 256
            if rest:
                step = max(256 // rest, 1)
                histogram[np.arange(0, 256, step)[:rest]] += 1
            tables[i, j] = np.rint(np.cumsum(histogram) * (255 / area)).clip(0, 255)
    found = np.zeros(image.shape)
    for y in range(len(image)):
        for x in range(len(image)):
            v, u = y / side - 0.5, x / side - 0.5
            top, left = int(np.floor(v)), int(np.floor(u))
            for i, weight in ((top, 1 - (v - top)), (top + 1, v - top)):
                for j, share in ((left, 1 - (u - left)), (left + 1, u - left)):
                    table = tables[min(max(i, 0), tiles - 1), min(max(j, 0), tiles - 1)]
                    found[y, x] += weight * share * table[image[y, x]]
    return found


@pytest.mark.parametrize("degrees", [-170.0, -20.0, 35.0, 120.0])
def test_hue_turns_on_the_wheel_of_hsv(degrees: float) -> None:
    image = photograph(12, 15)
    wanted = np.zeros(image.shape)
    for at in np.ndindex(12, 15):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[at] / 255))
        wanted[at] = 255 * np.array(colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value))
    assert far(change("hue", image, degrees=degrees), wanted) <= 1


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.8])
def test_saturation_and_grey_are_those_of_pillow(factor: float) -> None:
    image = photograph(31, 45)
    wanted = by_pillow(image, lambda one: ImageEnhance.Color(one).enhance(factor))
    # Two roundings of the grey value, which the factor enlarges.
    assert far(change("saturation", image, factor=factor), wanted) <= 1 + max(0.0, factor - 1)
    grey = by_pillow(image, lambda one: one.convert("L").convert("RGB"))
    assert far(change("grayscale", image), grey) <= 1


def test_color_jitter_is_its_four_operations_in_the_drawn_order() -> None:
    image = photograph(31, 45)
    drawn = {"brightness": 1.2, "contrast": 0.7, "saturation": 1.5, "hue": 25.0}
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "brightness": ("brightness", {"factor": 1.2, "amount": 0.0}),
        "contrast": ("contrast", {"factor": 0.7}),
        "saturation": ("saturation", {"factor": 1.5}),
        "hue": ("hue", {"degrees": 25.0}),
    }
    for number, order in ((0, list(calls)), (23, list(calls)[::-1])):
        wanted = image
        for name in order:
            operation, settings = calls[name]
            wanted = change(operation, wanted, **settings)
        assert far(change("color_jitter", image, order=number, **drawn), wanted) == 0


def test_channels_change_places_or_go() -> None:
    image = photograph(7, 9)
    found = {change("channel_shuffle", image, order=order).tobytes() for order in range(6)}
    assert len(found) == 6
    dropped = change("channel_dropout", image, channels=[0, 2], fill=9)
    assert (dropped[:, :, [0, 2]] == 9).all() and np.array_equal(dropped[:, :, 1], image[:, :, 1])


@pytest.mark.parametrize("name", ["hue", "saturation", "grayscale", "color_jitter"])
def test_grey_images_have_no_colours_to_change(name: str) -> None:
    image = photograph(9, 11, 1)
    neutral = {"degrees": 90.0, "factor": 3.0, "brightness": 1.0, "contrast": 1.0, "saturation": 2.0, "hue": 90.0}
    assert np.array_equal(change(name, image, order=0, **neutral), image)
    assert name in OPERATIONS
