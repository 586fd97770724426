"""Corruptions do what their names say, as strongly as published, and to each row alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from hardset.pipeline.evaluation.conditions import corrupted, shifted
from hardset.schemas.job.evaluation import CORRUPTIONS

ROWS = 24
SEEDS = np.random.default_rng(1).integers(0, 2**62, ROWS)


def rows(channels: int = 3, side: int = 32) -> np.ndarray:
    """Images in the middle of the range, so that noise is hardly clipped."""
    return np.random.default_rng(0).integers(90, 166, (ROWS, side, side, channels)).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("channels, side", [(1, 8), (3, 32)])
def test_a_row_does_not_depend_on_its_company(name, channels, side):
    pixels = rows(channels, side)
    for severity in (1, 5):
        whole = corrupted(pixels, SEEDS, name, severity)
        assert whole.shape == pixels.shape
        assert whole.dtype == np.uint8
        some = [20, 3]
        assert (corrupted(pixels[some], SEEDS[some], name, severity) == whole[some]).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_higher_severity_changes_more(name):
    change = [
        np.abs(corrupted(rows(), SEEDS, name, severity).astype(float) - rows()).mean() for severity in range(1, 6)
    ]
    assert change == sorted(change)
    assert 0 < change[0] < change[-1]


def test_noise_has_the_published_strength():
    pixels = rows().astype(float)

    def change(name):
        return (corrupted(rows(), SEEDS, name, 5) - pixels) / 255

    assert change("gaussian_noise").std() == pytest.approx(0.10, rel=0.01)
    assert (change("speckle_noise") / (pixels / 255)).std() == pytest.approx(0.20, rel=0.02)
    assert (change("shot_noise") / np.sqrt(pixels / 255 / 50)).std() == pytest.approx(1, rel=0.01)
    impulse = corrupted(rows(), SEEDS, "impulse_noise", 5)
    assert (impulse == 0).mean() == pytest.approx(0.035, rel=0.05)
    assert (impulse == 255).mean() == pytest.approx(0.035, rel=0.05)
    assert ((impulse == rows()) | (impulse == 0) | (impulse == 255)).all()


def test_what_is_not_random_is_what_other_libraries_make():
    pixels = rows()
    blurred = corrupted(pixels, SEEDS, "gaussian_blur", 5)
    expected = gaussian_filter(pixels.astype(float), sigma=(0, 1, 1, 0), mode="nearest", truncate=4)
    assert np.abs(blurred - expected).max() <= 0.51
    flat = corrupted(pixels, SEEDS, "contrast", 2).astype(float)
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    assert np.abs(flat - (pixels + mean) / 2).max() <= 0.51
    brighter = corrupted(pixels, SEEDS, "brightness", 2)
    hsv = np.asarray([np.asarray(Image.fromarray(row).convert("HSV"))[:, :, 2] for row in (pixels[0], brighter[0])])
    assert np.abs(hsv[1].astype(float) - hsv[0] - 25.5).max() <= 1
    grey = corrupted(rows(1), SEEDS, "brightness", 2).astype(float)
    assert np.abs(grey - rows(1) - 25.5).max() <= 0.51


def test_shifts_are_all_there_are_and_bring_in_black():
    pixels = np.full((2, 5, 5, 1), 9, np.uint8)
    found = list(shifted(pixels, 2))
    assert len(found) == 24
    assert {int((one == 0).sum()) // 2 for one in found} == {5, 9, 10, 13, 16}
    picture = np.arange(25, dtype=np.uint8).reshape(1, 5, 5, 1) + 1
    right = np.pad(picture, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :5]
    assert any((one == right).all() for one in shifted(picture, 1))
