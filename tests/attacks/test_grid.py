"""The 8-bit grid: rounding that never leaves the budget, and gives up no more than it must."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hardset.pipeline.attacks import grid
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.schemas.job.quantities import whole_levels


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), eps=st.floats(0, 3), side=st.sampled_from([1, 3, 8]))
def test_no_rounded_image_leaves_budget_or_box(seed, eps, side):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (4, 3, side, side), generator=generator)
    images = (clean / 255 + torch.randn(4, 3, side, side, generator=generator) * 0.1).clamp(0, 1)
    levels, many = clean.float(), np.full(4, eps)
    for geometry, rounded, budget in (
        (Linf(), grid.round_linf, grid.linf_budget(many)),
        (L2(), grid.round_l2, grid.l2_budget(many)),
        (L1(), grid.round_l1, grid.l1_budget(many)),
    ):
        norm, allowed = geometry.name, torch.from_numpy(budget)
        got = rounded(geometry.project(images, levels / 255, torch.full((4,), eps)), levels, allowed)
        assert torch.equal(got, got.round())
        assert ((got >= 0) & (got <= 255)).all()
        assert grid.within(got.to(torch.uint8), clean.to(torch.uint8), allowed, norm).all()
        exact = np.asarray(got, np.int64) - clean.numpy()
        sizes = np.abs(exact).reshape(4, -1)
        spent = {"linf": sizes.max(1), "l2": (sizes**2).sum(1), "l1": sizes.sum(1)}[norm]
        assert (spent <= ((eps * 255) ** 2 if norm == "l2" else eps * 255) + 1e-6).all()


def test_linf_rounds_halves_to_even_then_clamps_to_whole_levels():
    images = torch.tensor([[10.5, 11.5, 14.49, 100.0, 0.2]]) / 255
    levels = torch.tensor([[10.0, 12.0, 10.0, 10.0, 2.0]])
    assert grid.round_linf(images, levels, torch.tensor([3])).tolist() == [[10.0, 12.0, 13.0, 13.0, 0.0]]


def test_linf_budget_counts_levels_as_the_contract_does():
    eps = np.array([k / 255 for k in range(256)] + [0.3, 0.03, 0.5 / 255])
    assert grid.linf_budget(eps).tolist() == [whole_levels(e) for e in eps]


def test_l2_keeps_the_nearest_image_where_it_fits_and_else_comes_close_to_the_best_in_budget():
    generator = np.random.default_rng(2)
    for _ in range(30):
        change = generator.uniform(-2.4, 2.4, 5)
        radius = np.linalg.norm(change)
        budget = int(radius**2)
        levels = torch.full((1, 5), 100.0)
        images = (levels + torch.tensor(change, dtype=torch.float32)) / 255
        got = (grid.round_l2(images, levels, torch.tensor([budget])) - levels).numpy()[0]
        steps = [(np.trunc(v), np.rint(v)) for v in change]
        choices = [c for c in itertools.product(*steps) if np.square(c).sum() <= budget]
        gains = [float(np.dot(c, change)) for c in choices]
        nearest = np.rint(change)
        if np.square(nearest).sum() <= budget:
            np.testing.assert_array_equal(got, nearest)
        assert np.dot(got, change) >= 0.75 * max(gains)
        assert all(value in step for value, step in zip(got, steps, strict=True))


def test_l2_ties_share_out_the_whole_budget():
    levels = torch.full((1, 16), 100.0)
    images = (levels + 1.6) / 255
    got = grid.round_l2(images, levels, torch.tensor([int(16 * 1.6**2)])) - levels
    assert sorted(got.flatten().tolist()) == [1.0] * 8 + [2.0] * 8  # 8 * 1 + 8 * 4 = 40 of 40


def test_l1_comes_as_near_as_the_budget_lets_it():
    """By brute force: the nearest integer change within the budget, with the largest sum among the nearest."""
    generator = np.random.default_rng(4)
    choices = np.array(list(itertools.product(range(-3, 4), repeat=5)))
    for _ in range(40):
        change = generator.uniform(-2.4, 2.4, 5)
        budget = int(np.abs(change).sum())
        levels = torch.full((1, 5), 100.0)
        images = (levels + torch.tensor(change, dtype=torch.float32)) / 255
        got = (grid.round_l1(images, levels, torch.tensor([budget])) - levels).numpy()[0]
        gaps = np.square(choices[np.abs(choices).sum(axis=1) <= budget] - change).sum(axis=1)
        # Fractions are told apart to 1/2048 of a level, and a level more or less changes the gap by twice that.
        assert np.square(got - change).sum() <= gaps.min() + 5 * 2 / 2048 + 1e-4
        assert np.abs(got).sum() == min(budget, np.abs(np.rint(change)).sum())


def test_l1_ties_share_out_the_whole_budget():
    levels = torch.full((1, 16), 100.0)
    got = grid.round_l1((levels + 1.6) / 255, levels, torch.tensor([25])) - levels
    assert sorted(got.flatten().tolist()) == [1.0] * 7 + [2.0] * 9


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), spread=st.sampled_from([0.002, 0.1, 2.0]), eps=st.floats(0, 20))
def test_l1_holds_the_budget_even_for_images_far_out_of_the_ball(seed, spread, eps):
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (3, 2, 5, 5), generator=generator).float()
    images = (levels / 255 + spread * torch.randn(levels.shape, generator=generator)).clamp(0, 1)
    budget = torch.from_numpy(grid.l1_budget(np.full(3, eps)))
    got = grid.round_l1(images, levels, budget)
    assert ((got >= 0) & (got <= 255)).all() and torch.equal(got, got.round())
    assert grid.within(got.to(torch.uint8), levels.to(torch.uint8), budget, "l1").all()
    assert ((got - levels).sign() * (images * 255 - levels).sign() >= 0).all()


def test_photographs_are_counted_exactly():
    """Sums beyond 2^24, where float32 has no more odd numbers: one level too many is still one too many."""
    levels = torch.zeros(1, 3, 200, 200)
    levels[0, 0, 0, 0] = 1  # changes by one level less than all others
    images, full = torch.ones_like(levels), 255 * levels.numel() - 1
    for budget, kept in ((full, full), (full - 1, full - 1)):
        got = grid.round_l1(images, levels, torch.tensor([budget])) - levels
        assert int(got.double().sum()) == kept
    assert torch.equal(grid.round_l1(images, levels, torch.tensor([full])), 255 * images)


def test_budgets_of_large_images_are_counted_exactly():
    """Float32 counts no single steps beyond 2^24: a sum that it rounds up would look like one over budget."""
    width = 4106
    levels, budget = torch.zeros(1, 1, 1, width), torch.tensor([width * 255**2])
    assert float(budget.float()) > int(budget)
    assert torch.equal(grid.round_l2(torch.ones_like(levels), levels, budget), levels + 255)
    assert int(grid.round_l2(torch.ones_like(levels), levels, budget - 1).square().sum(dtype=torch.float64)) < budget


def test_an_image_within_budget_is_stored_as_its_nearest_levels():
    """Rounding that must give way starts a little inside the ball, where this value would end one level lower."""
    image, levels = torch.full((1, 1, 1, 1), 100.5004 / 255), torch.zeros(1, 1, 1, 1)
    assert float(grid.round_l2(image, levels, torch.tensor([20_000]))) == 101
    assert float(grid.round_l2(image, levels, torch.tensor([101**2]))) == 101
    assert float(grid.round_l2(image, levels, torch.tensor([101**2 - 1]))) == 100


def test_what_a_row_spends_is_counted_row_by_row_in_the_units_of_its_norm():
    rng = np.random.default_rng(0)
    share = np.linspace(0, 1, 5)[:, None, None, None]
    change = rng.integers(-255, 256, (5, 3, 4, 6)) * (rng.random((5, 3, 4, 6)) < share)
    flat, given = change.reshape(5, -1), torch.from_numpy(change).float()
    expected = {
        "linf": np.abs(flat).max(axis=1),
        "l2": (flat**2).sum(axis=1),
        "l1": np.abs(flat).sum(axis=1),
        "l0": (change != 0).any(axis=1).reshape(5, -1).sum(axis=1),
    }
    for norm, spent in expected.items():
        assert grid.spent(given, norm).tolist() == spent.tolist(), norm
    assert grid.pixels_of(given).tolist() == expected["l0"].tolist()
