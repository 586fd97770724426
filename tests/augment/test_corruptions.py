"""The corruptions of ImageNet-C and ImageNet-C-bar: strengths, monotony, formulas, and no mixing of sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from hardset.pipeline.augment.corruptions import CHANGES, corrupt, wand_kernel
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.augment.textures import coloured_noise
from hardset.pipeline.batches import Pixels
from hardset.pipeline.evaluation.conditions import corrupted
from hardset.pipeline.planning.plan import make_plan
from hardset.schemas.errors import JobError
from hardset.schemas.job.operations.corruptions import BAR, COMMON, CORRUPTIONS, strengths_for
from hardset.schemas.reading.loading import parse_job
from tests.augment.images import far, photograph

STREAM = RowStream(11, 0)
# Published strengths that trade one kind of change for another: colours taken away first and added later, a large shift
# for a rough field, water for mud, a darker image for more ice.
UNORDERED = {
    "cifar": {"glass_blur", "frost", "elastic", "spatter", "saturate"},
    "imagenet": {"elastic", "saturate"},
}


def psnr(one: Pixels, other: Pixels) -> float:
    return 10 * math.log10(255**2 / max(float(((one.astype(float) - other) ** 2).mean()), 1e-9))


def test_the_table_is_that_of_the_papers() -> None:
    assert (len(COMMON), len(BAR)) == (19, 10)
    assert set(CORRUPTIONS) == {*COMMON, *BAR} == set(CHANGES)
    assert all(len(one.cifar) == len(one.imagenet) == 5 for one in CORRUPTIONS.values())
    assert (strengths_for(32, 32), strengths_for(64, 64), strengths_for(65, 40)) == ("cifar", "cifar", "imagenet")


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("strengths", ["cifar", "imagenet"])
def test_every_corruption_works_on_every_shape(name: str, strengths: str) -> None:
    for shape in [(1, 1, 1), (2, 3, 3), (7, 5, 1), (33, 20, 3)]:
        for severity in (1, 5):
            found = corrupt(photograph(*shape), name, severity, strengths, STREAM)
            assert found.shape == shape and found.dtype == np.uint8
            assert np.array_equal(found, corrupt(photograph(*shape), name, severity, strengths, STREAM))


@pytest.mark.slow
@pytest.mark.parametrize(("strengths", "side", "rows"), [("cifar", 32, 60), ("imagenet", 224, 6)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severities_are_ever_further_from_the_photograph(name: str, strengths: str, side: int, rows: int) -> None:
    if name in UNORDERED[strengths]:
        pytest.skip("not in this order as published")
    whole = photograph(224, 224)
    images = [whole] if side == 224 else [whole[at:, at:][:32, :32] for at in range(0, 120, 10)]
    distances = []
    for severity in range(1, 6):
        found = []
        for seed in range(rows):
            image = images[seed % len(images)]
            found.append(psnr(corrupt(image, name, severity, strengths, RowStream(seed, 0)), image))
        distances.append(float(np.mean(found)))
    # A twentieth of a decibel: two of the severities of motion_blur and snow have the same sigma or mean.
    assert (np.diff(distances) < 0.05).all() and distances[4] < distances[0] - 1, distances


def test_recipes_and_evaluations_make_the_same() -> None:
    images = np.stack([photograph(32, 32)] * 3)
    seeds = np.array([4, 5, 6])
    for position, name in enumerate(CHANGES):
        found = corrupted(images, seeds, name, 2)
        wanted = [corrupt(images[0], name, 2, "cifar", RowStream(int(seed), position)) for seed in seeds]
        assert np.array_equal(found, np.stack(wanted)), name


def test_motion_blur_is_half_a_gaussian_along_the_line() -> None:
    kernel = wand_kernel(6, 2, 0)
    weights = np.exp(-(np.arange(13) ** 2) / 8)
    assert np.allclose(kernel[13, 13:26], weights / weights.sum(), atol=1e-6)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)


def test_contrast_and_brightness_follow_their_formulas() -> None:
    image = photograph(31, 45)
    means = image.mean(axis=(0, 1))
    assert far(corrupt(image, "contrast", 3, "imagenet", STREAM), (image - means) * 0.2 + means) <= 0.51
    value = image.max(axis=2) / 255
    found = corrupt(image, "brightness", 2, "imagenet", STREAM)
    assert far(found.max(axis=2), 255 * (value + 0.2).clip(0, 1)) <= 0.51
    grey = photograph(31, 45, 1)
    assert far(corrupt(grey, "brightness", 2, "imagenet", STREAM), (grey + 51.0).clip(0, 255)) <= 0.51


def test_saturate_changes_saturation_alone() -> None:
    image = photograph(31, 45)
    found = corrupt(image, "saturate", 1, "imagenet", STREAM).astype(float)
    assert far(found.max(axis=2), image.max(axis=2)) <= 1
    wide = image.max(axis=2) > 100
    before, after = ((1 - one.min(axis=2) / one.max(axis=2))[wide] for one in (image.astype(float), found))
    assert np.abs(after - 0.3 * before).max() < 0.015


def test_fog_keeps_the_largest_value_and_lightens() -> None:
    image = photograph(64, 64)
    found = corrupt(image, "fog", 3, "imagenet", STREAM).astype(float)
    haze = found / (image.max() / (image.max() + 255 * 2.5)) - image
    assert np.ptp(haze, axis=2).max() <= 5  # the same haze on all channels, up to the rounding that is scaled
    assert haze.min() >= -3 and haze.max() <= 255 * 2.5 + 3 and np.ptp(haze) > 255


def test_elastic_is_an_affine_map_and_a_smooth_field() -> None:
    """At CIFAR's first severity the field is zero, and three points are moved by at most 8 % of the side."""
    y, x = np.mgrid[:64, :64]
    ramps = np.stack([2 * x + 60, 2 * y + 60, x + y + 60], axis=2).astype(np.uint8)
    inner = np.stack([np.ones(32 * 32), x[16:-16, 16:-16].ravel(), y[16:-16, 16:-16].ravel()], axis=1)
    moves = []
    for seed in range(60):
        found = corrupt(ramps, "elastic", 1, "cifar", RowStream(seed, 0)).astype(float)[16:-16, 16:-16].reshape(-1, 3)
        fitted = np.linalg.lstsq(inner, found, rcond=None)[0]
        assert np.abs(inner @ fitted - found).max() <= 1.1
        # Where each of the three points is read from, from the ramps along both axes.
        back = (fitted[:, :2] - [[60, 60], [0, 0], [0, 0]]) / 2
        points = np.array([[1, 53, 53], [1, 53, 11], [1, 11, 11]])
        moves.append(
            np.linalg.solve(np.vstack([back.T, [1, 0, 0]])[[2, 0, 1]], points[:, [0, 1, 2]].T)[1:] - points[:, 1:].T
        )
    largest = np.abs(moves).max()
    assert 0.9 * 0.08 * 64 < largest < 1.1 * 0.08 * 64


@pytest.mark.parametrize("shape", [(64, 64), (31, 45)], ids=str)
def test_coloured_noise_has_its_spectrum(shape: tuple[int, int]) -> None:
    distance = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) * side for side in shape), indexing="ij"))
    inner = (distance > 1) & (np.abs(np.fft.fftfreq(shape[1])) > 0) & (np.abs(np.fft.fftfreq(shape[1])) < 0.5)
    for power, amplitude in ((1.0, distance), (-2.0, 1 / (distance**2 + 1))):
        noise = coloured_noise(*shape, power, np.random.default_rng(1))
        assert noise.std() == pytest.approx(1, rel=1e-4)
        ratio = np.abs(np.fft.fft2(noise))[inner] / amplitude[inner]
        assert ratio.max() / ratio.min() < 1.02


def test_single_frequency_is_one_wave() -> None:
    grey = np.full((64, 64, 1), 128, np.uint8)
    wave = corrupt(grey, "single_frequency_greyscale", 1, "imagenet", RowStream(2, 0))[:, :, 0].astype(float) - 128
    assert 18.5 <= np.abs(wave).max() <= 20
    # A sampled wave of one frequency obeys w(n + 1) + w(n - 1) = 2 cos(f) w(n) along each axis.
    for axis in (0, 1):
        around = np.roll(wave, 1, axis) + np.roll(wave, -1, axis)
        inner = tuple(slice(1, -1) if at == axis else slice(None) for at in range(2))
        factor = (around[inner] * wave[inner]).sum() / (wave[inner] ** 2).sum()
        assert np.abs(around[inner] - factor * wave[inner]).max() <= 2.5


def test_checkerboards_cover_tenths_of_every_second_field() -> None:
    image = photograph(128, 128)
    shares = []
    for seed in range(60):
        found = corrupt(image, "checkerboard_cutout", 5, "imagenet", RowStream(seed, 0))
        hit = (found != image).any(axis=2)
        assert (found[hit] == 128).all()
        shares.append(hit.mean())
    assert np.mean(shares) == pytest.approx(0.6 / 2, abs=0.05)


def test_sparkles_lighten_and_refraction_bends() -> None:
    image = photograph(96, 96)
    for name in ("sparkles", "inverse_sparkles"):
        assert (corrupt(image, name, 3, "imagenet", STREAM) >= image).all()
    bent = corrupt(image, "caustic_refraction", 5, "imagenet", STREAM)
    assert psnr(bent, image) < 30
    dull = corrupt(np.zeros((40, 40, 3), np.uint8), "perlin_noise", 1, "imagenet", STREAM)
    assert (np.ptp(dull, axis=2) == 0).all() and dull.min() >= 255 * 0.23 * 0.5 - 1 and dull.max() <= 255 * 0.23 + 1
    waves = corrupt(np.full((64, 64, 1), 128, np.uint8), "cocentric_sine_waves", 2, "imagenet", STREAM)
    assert abs(int(waves.min()) - (128 - 32)) <= 2 and abs(int(waves.max()) - (128 + 32)) <= 2
    plasma = corrupt(np.full((64, 64, 3), 100, np.uint8), "plasma_noise", 1, "cifar", STREAM).astype(float)
    share = 6.4 * 0.7
    assert np.abs(plasma - (1 - share / 255) * 100).max() <= share + 0.51


def test_snow_lightens_and_spatter_has_its_colours() -> None:
    image = photograph(96, 96)
    found = corrupt(image, "snow", 2, "imagenet", STREAM).astype(float)
    assert found.mean() > image.mean() + 10
    black = np.zeros((96, 96, 3), np.uint8)
    mud = corrupt(black + 255, "spatter", 5, "imagenet", STREAM)
    assert (mud == 255).any() and np.abs(mud.reshape(-1, 3).astype(int) - (63, 42, 20)).sum(axis=1).min() <= 60
    water = corrupt(black, "spatter", 1, "imagenet", STREAM).reshape(-1, 3).astype(float)
    wet = water[water[:, 1] > 40]
    assert len(wet) and np.abs(wet[:, 0] / wet[:, 1] - 175 / 238).max() < 0.05


def test_blurs_of_corruptions_are_scipys() -> None:
    image = photograph(64, 64)
    wanted = ndimage.gaussian_filter(image.astype(float), (3, 3, 0), mode="nearest", truncate=4)
    assert far(corrupt(image, "gaussian_blur", 3, "imagenet", STREAM), wanted) <= 1


def job(*ops: dict[str, Any], **source: Any) -> dict[str, Any]:
    return {
        "name": "mixed",
        "source": {"format": "digits", "limit": 8, **source},
        "recipes": [{"kind": "augment", "ops": [op]} for op in ops],
        "output": {"path": "memory://none"},
    }


def test_sets_of_strengths_are_not_mixed() -> None:
    def operation(strengths: str) -> dict[str, Any]:
        return {"name": "corruption", "corruption": "snow", "strengths": strengths}

    assert make_plan(parse_job(job(operation("auto"), operation("cifar")))).shards
    assert make_plan(parse_job(job(operation("imagenet")))).shards
    for pair in [("cifar", "imagenet"), ("imagenet", "auto")]:
        with pytest.raises(JobError, match=r"recipes\.1\.ops\.0: has the strengths .*, and recipes\.0\.ops\.0 has"):
            make_plan(parse_job(job(*map(operation, pair))))


def test_colours_that_are_not_there_are_refused() -> None:
    with pytest.raises(JobError, match=r"recipes\.0\.ops\.0\.corruption: saturate changes colours, and rows have 1"):
        make_plan(parse_job(job({"name": "corruption", "corruption": ["snow", "saturate"]})))
