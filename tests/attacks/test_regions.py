"""Regions: masks against slices, random places against their distribution, and attacks that stay inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.attacks import grid, objectives
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.regions import region_corners, region_masks, unchanged_outside
from hardset.pipeline.attacks.schedules import Fixed
from hardset.pipeline.attacks.search import Search
from hardset.schemas.job.attack_recipe import Region
from tests.attacks.textbook import engine_passes, small_net, work_of

SEEDS = torch.arange(4000) * 7919


@st.composite
def regions(draw):
    """An image shape and a region that fits it."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
    corner = st.tuples(st.integers(0, height - tall), st.integers(0, width - wide))
    return (height, width), Region(height=tall, width=wide, place=draw(st.sampled_from(["center", "random"]) | corner))


@given(regions(), st.integers(0, 2**63 - 1))
def test_a_mask_is_one_rectangle_of_the_asked_size_within_the_image(case, seed):
    shape, region = case
    seeds = torch.tensor([seed, seed ^ 1])
    masks, corners = region_masks(region, seeds, shape), region_corners(region, seeds, shape).tolist()
    assert masks.shape == (2, 1, *shape) and masks.dtype == torch.float32
    for mask, (top, left) in zip(masks, corners, strict=True):
        expected = torch.zeros(1, *shape)
        expected[:, top : top + region.height, left : left + region.width] = 1
        assert torch.equal(mask, expected) and int(mask.sum()) == region.height * region.width
        if isinstance(region.place, tuple):
            assert (top, left) == region.place


def test_the_centre_has_the_same_margin_on_both_sides_up_to_a_pixel():
    assert region_corners(Region(height=2, width=2), SEEDS[:1], (6, 7)).tolist() == [[2, 2]]
    assert region_corners(Region(height=6, width=7), SEEDS[:1], (6, 7)).tolist() == [[0, 0]]


def test_random_places_are_uniform_over_all_that_fit_and_independent_across_axes():
    corners = region_corners(Region(height=3, width=2, place="random"), SEEDS, (6, 4))
    counts = torch.bincount(corners[:, 0] * 3 + corners[:, 1], minlength=12).double()
    assert len(counts) == 12
    expected = len(SEEDS) / 12
    assert float(((counts - expected) ** 2 / expected).sum()) < 31.3  # chi-square, 11 degrees of freedom, p = 0.001


def test_a_place_belongs_to_the_row():
    region, some = Region(height=2, width=2, place="random"), torch.tensor([7, 3, 3])
    whole = region_masks(region, SEEDS[:20], (9, 9))
    assert torch.equal(region_masks(region, SEEDS[some], (9, 9)), whole[some])


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(height=9, width=2), "region of 9 x 2 reaches beyond images of 8 x 10"),
        (Region(height=2, width=11, place="random"), "region of 2 x 11 reaches"),
        (Region(height=3, width=3, place=(6, 0)), r"region of 3 x 3 at \[6, 0\] reaches"),
        (Region(height=3, width=3, place=(0, 8)), r"region of 3 x 3 at \[0, 8\] reaches"),
    ],
)
def test_a_region_beyond_the_image_is_refused(region, message):
    with pytest.raises(ValueError, match=message):
        region_masks(region, SEEDS[:1], (8, 10))


def test_a_single_level_outside_the_mask_is_found():
    mask = region_masks(Region(height=2, width=2), SEEDS[:3], (4, 4))
    clean = torch.full((3, 2, 4, 4), 200, dtype=torch.uint8)
    pixels = clean.clone()
    pixels[:, :, 1:3, 1:3] = 0  # inside, everything may change
    pixels[1, 1, 0, 3] += 1
    assert unchanged_outside(pixels, clean, mask).tolist() == [True, False, True]


@pytest.mark.parametrize("geometry", [Linf(), L2(), L1()], ids=lambda geometry: geometry.name)
@pytest.mark.parametrize("eps", [0.1, 1.0])
def test_a_patch_is_optimised_and_the_rest_of_the_image_stays_exactly_clean(geometry, eps):
    """A linear loss over a masked image: steps, momentum and storing as the engine does them."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 256, (6, 3, 8, 8), generator=generator)
    clean, weight = levels / 255, torch.randn(6, 3, 8, 8, generator=generator)
    masks = region_masks(Region(height=3, width=4, place="random"), SEEDS[:6], (8, 8))
    radius = torch.full((6,), eps)
    images = previous = geometry.start(clean, radius, SEEDS[:6], torch.zeros(6, dtype=torch.int64), masks)
    for _ in range(30):
        plain = geometry.project(images + 0.5 * eps * geometry.steepest(weight * masks, images, radius), clean, radius)
        mixed = geometry.project(images + 0.75 * (plain - images) + 0.25 * (images - previous), clean, radius)
        images, previous = mixed, images
    budget = torch.from_numpy(geometry.budget(np.full(6, eps)))
    stored = geometry.to_grid(images, levels.float(), budget).to(torch.uint8)
    source = levels.to(torch.uint8)
    assert unchanged_outside(stored, source, masks).all()
    assert grid.within(stored, source, budget, geometry.name).all()
    assert (stored != source).flatten(1).any(dim=1).all()
    gain = ((images - clean) * weight).flatten(1).sum(dim=1)
    if geometry.name == "linf":
        best = torch.where(weight > 0, (1 - clean).clamp(max=eps), -clean.clamp(max=eps)) * weight * masks
        torch.testing.assert_close(gain, best.flatten(1).sum(dim=1), rtol=1e-4, atol=1e-4)
    assert (gain > 0).all()


@pytest.mark.parametrize("schedule", [Fixed(), Momentum(nesterov=True)], ids=["plain", "ahead"])
def test_the_gradient_is_that_of_the_values_that_may_change(schedule):
    net = small_net(channels=2)
    work = work_of(net, Linf(), 9 / 255, 2 / 255, channels=2, started=False)
    mask = torch.zeros(len(work), 1, 6, 6)
    mask[:, :, 1:4, 2:6] = 1
    search = Search(objectives.cross_entropy, Linf(), schedule, 4, random_start=False, on_grid=False)
    whole, (first, *_, last) = engine_passes(net, search, work)[0], engine_passes(net, search, replace(work, mask=mask))
    assert bool((whole.gradient < 0).any()) and bool((whole.gradient > 0).any())
    torch.testing.assert_close(first.gradient, whole.gradient * mask, rtol=1e-5, atol=1e-7)
    clean = work.pixels.float() / 255
    assert torch.equal(last.images * (1 - mask), clean * (1 - mask))
    moved, inside = last.images != clean, mask.expand_as(clean) > 0
    assert bool(moved[inside & (clean > 0.1) & (clean < 0.9)].all())
