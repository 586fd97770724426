"""Noise and what is drawn, against the distributions they are to have: Kolmogorov-Smirnov on 2,000 rows."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from hardset.pipeline.augment.regions import rectangle
from hardset.pipeline.augment.streams import RowStream, Stream, normal_table
from hardset.pipeline.augment.table import OPERATIONS
from tests.augment.images import change, far, photograph, settings_of

ROWS = 2000
LEAST = 1e-4
"""Smallest p-value; seeds are fixed, so that a test fails always or never."""
STREAM = Stream(torch.arange(ROWS) * 7919 + 3, 0)


def test_streams_of_different_operations_places_and_uses_differ() -> None:
    second, inner = Stream(STREAM.seeds, 1), STREAM.inside(0)
    values = [STREAM.chance(), STREAM.uniform(0), STREAM.uniform(1), second.chance(), inner.chance(), inner.uniform(0)]
    correlation = np.corrcoef(torch.stack(values).numpy()) - np.eye(len(values))
    assert np.abs(correlation).max() < 0.1
    rows = [RowStream(1, 0), RowStream(2, 0), RowStream(1, 1), RowStream(1, 0).inside(0), RowStream(1, 0).inside(1)]
    words = [row.words(5000, use).astype(float) for row in rows for use in (0, 1)]
    assert np.abs(np.corrcoef(words) - np.eye(len(words))).max() < 0.06


def test_an_engine_that_was_used_gives_the_words_of_a_fresh_one() -> None:
    engine = np.random.Philox(key=77)
    engine.random_raw(3)
    for seed, branch, use in ((5, 0, 0), (2**62 + 1, 3, 2), (5, 0, 0)):
        fresh = RowStream(seed, 2, branch).words(101, use)
        assert np.array_equal(RowStream(seed, 2, branch, engine).words(101, use), fresh)


def test_words_of_a_row_are_a_prefix_of_more_words() -> None:
    assert np.array_equal(RowStream(3, 1).words(10), RowStream(3, 1).words(1000)[:10])


def test_noise_of_rows_is_normal() -> None:
    assert stats.kstest(STREAM.normal(0, ()).numpy(), "norm").pvalue > LEAST
    rows = np.array([RowStream(seed, 0).normal((1,))[0] for seed in STREAM.seeds.tolist()])
    assert stats.kstest(rows, "norm").pvalue > LEAST
    many = RowStream(9, 0).normal((200_000,))
    assert stats.kstest(many, "norm").pvalue > LEAST
    assert abs(float(normal_table().astype(float).std()) - 1) < 1e-3


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise"])
@pytest.mark.parametrize("size", [8, 160])
def test_normal_noise_has_the_asked_for_strength(name: str, size: int) -> None:
    """Small and large images, whose noise is worked out in two ways."""
    grey = np.full((size, size, 3), 128, np.uint8)
    rows = max(2, 200_000 // grey.size)
    found = np.stack([change(name, grey, seed, std=0.1) for seed in range(rows)])
    scale = 25.5 if name == "gaussian_noise" else 12.8
    noise = (found.astype(float) - 128).ravel()
    # Rounding to whole levels adds 1/12 to the variance.
    assert noise.std() == pytest.approx((scale**2 + 1 / 12) ** 0.5, rel=0.02)
    assert abs(noise.mean()) < 6 * scale / noise.size**0.5
    even = np.random.default_rng(0).uniform(-0.5, 0.5, noise.size)
    assert stats.kstest((noise + even)[:ROWS] / scale, "norm").pvalue > LEAST


def test_shot_noise_is_poisson() -> None:
    grey = np.full((50, 40, 1), 100, np.uint8)
    counts = np.rint(change("shot_noise", grey, photons=40.0).astype(float) / 255 * 40).ravel()
    mean = 100 / 255 * 40
    wanted = stats.poisson.pmf(np.arange(8, 26), mean)
    found = np.array([(counts == count).mean() for count in range(8, 26)])
    assert np.abs(np.cumsum(found) - np.cumsum(wanted)).max() < 1.95 / len(counts) ** 0.5


def test_impulse_noise_is_black_or_white_as_often() -> None:
    image = np.full((100, 100, 3), 99, np.uint8)
    found = change("impulse_noise", image, amount=0.2)
    for level in (0, 255):
        assert stats.binomtest(int((found == level).sum()), image.size, 0.1).pvalue > LEAST
    assert set(np.unique(found)) == {0, 99, 255}
    assert (change("impulse_noise", image, amount=1.0) != 99).all()
    assert (change("impulse_noise", image, amount=0.0) == 99).all()


@pytest.mark.parametrize(
    ("name", "drawn", "low", "high"),
    [
        ("brightness", "amount", -0.2, 0.2),
        ("hue", "degrees", -20, 20),
        ("gaussian_blur", "sigma", 0.1, 2),
        ("pixelate", "share", 0.5, 0.95),
        ("fog", "amount", 0.2, 1),
        ("rotate", "degrees", -15, 15),
    ],
)
def test_ranges_are_drawn_evenly(name: str, drawn: str, low: float, high: float) -> None:
    values = np.asarray(OPERATIONS[name].draw(settings_of(name), STREAM)[drawn])
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > LEAST


def test_whole_numbers_and_lists_are_drawn_evenly() -> None:
    qualities = OPERATIONS["jpeg"].draw(settings_of("jpeg", quality={"min": 3, "max": 7}), STREAM)["quality"]
    assert stats.chisquare(np.bincount(qualities, minlength=8)[3:]).pvalue > LEAST
    bits = OPERATIONS["posterize"].draw(settings_of("posterize", bits=[2, 5]), STREAM)["bits"]
    assert stats.binomtest(int((bits == 2).sum()), ROWS, 0.5).pvalue > LEAST
    orders = OPERATIONS["channel_shuffle"].draw(settings_of("channel_shuffle"), STREAM)["order"]
    assert stats.chisquare(np.bincount(orders)).pvalue > LEAST


def test_erased_rectangles_have_the_drawn_area_and_ratio() -> None:
    drawn = OPERATIONS["erase"].draw(settings_of("erase", area={"min": 0.02, "max": 0.1}), STREAM)
    ratios = np.log(np.asarray(drawn["ratio"]))
    assert stats.kstest(ratios, "uniform", (np.log(0.3), np.log(3.3 / 0.3))).pvalue > LEAST
    for row in range(200):
        one = {name: values[row] if name == "fill" else float(values[row]) for name, values in drawn.items()}
        rows, columns = rectangle((400, 600), {**one, "y": 0.5, "x": 0.5})
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        assert tall * wide / 240_000 == pytest.approx(one["area"], rel=0.03)
        assert tall / wide == pytest.approx(one["ratio"], rel=0.03)


@pytest.mark.parametrize("fill", [7, "mean", "noise"])
def test_erasing_leaves_the_rest_alone(fill: object) -> None:
    image = photograph(40, 50)
    drawn = {"area": 0.2, "ratio": 1.5, "y": 0.3, "x": 0.9}
    found, part = change("erase", image, fill=fill, **drawn), rectangle(image.shape, drawn)
    rest = np.ones(image.shape[:2], bool)
    rest[part] = False
    assert np.array_equal(found[rest], image[rest])
    inside = found[part].reshape(-1, 3)
    if fill == "noise":
        assert stats.kstest(inside.ravel(), "uniform", (-0.5, 256)).pvalue > LEAST
    else:
        assert far(inside, np.broadcast_to(image.mean(axis=(0, 1)) if fill == "mean" else 7, inside.shape)) <= 0.51


def test_a_grid_covers_the_squares_of_each_period() -> None:
    image = photograph(40, 50)
    found = change("grid_mask", image, period=10, kept=0.6, y=0.0, x=0.5, fill=3)
    covered = (found == 3).all(axis=2)
    y, x = np.mgrid[:40, :50]
    assert np.array_equal(covered, (y % 10 < 4) & ((x + 5) % 10 < 4))


def test_dropped_pixels_lose_all_channels() -> None:
    image = np.full((100, 100, 3), 99, np.uint8)
    found = change("pixel_dropout", image, share=0.1, fill=1)
    gone = found == 1
    assert (gone.any(axis=2) == gone.all(axis=2)).all()
    assert stats.binomtest(int(gone[:, :, 0].sum()), 10_000, 0.1).pvalue > LEAST


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 1), (31, 45, 3)], ids=str)
def test_files_are_those_of_pillow(shape: tuple[int, int, int]) -> None:
    image = photograph(*shape)
    picture = Image.fromarray(image[:, :, 0] if shape[2] == 1 else image)
    for name, kind, more in (("jpeg", "JPEG", {}), ("webp", "WEBP", {"method": 0})):
        file = io.BytesIO()
        picture.save(file, kind, quality=30, **more)
        wanted = np.asarray(Image.open(file).convert(picture.mode)).reshape(shape)
        assert far(change(name, image, quality=30), wanted) == 0
    box = Image.Resampling.BOX
    few = max(1, int(shape[1] * 0.4)), max(1, int(shape[0] * 0.4))
    wanted = np.asarray(picture.resize(few, box).resize(picture.size, box)).reshape(shape)
    assert far(change("pixelate", image, share=0.4), wanted) == 0
