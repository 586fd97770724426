"""L1: the projection against solvers, step and start against their definitions, a linear model in closed form."""

from __future__ import annotations

import bisect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1
from tests.attacks.nets import TwoClassLinear, frozen, predictions, recipe, rows, seeds

SEEDS = st.integers(0, 2**31)


def _project(point: np.ndarray, clean: np.ndarray, radius: float) -> np.ndarray:
    args = [torch.tensor(a, dtype=torch.float32).view(1, 1, 1, -1) for a in (point, clean)]
    return L1().project(*args, torch.tensor([radius], dtype=torch.float32)).flatten().numpy()


def _by_quadratic_programming(point: np.ndarray, clean: np.ndarray, radius: float) -> np.ndarray:
    """Change split in a rising and a falling part, both at least 0, so that everything is smooth."""
    size, wished = len(clean), point - clean

    def gap(parts: np.ndarray) -> np.ndarray:
        return parts[:size] - parts[size:] - wished

    found = minimize(
        lambda parts: (gap(parts) ** 2).sum(), np.zeros(2 * size),
        jac=lambda parts: np.concatenate((2 * gap(parts), -2 * gap(parts))),
        bounds=[(0, room) for room in np.concatenate((1 - clean, clean))],
        constraints=[{"type": "ineq", "fun": lambda parts: radius - parts.sum(), "jac": lambda _: -np.ones(2 * size)}],
        method="SLSQP", options={"ftol": 1e-12},
    )  # fmt: skip
    assert found.success
    return clean + found.x[:size] - found.x[size:]


def _by_knots(point: np.ndarray, clean: np.ndarray, radius: float) -> np.ndarray:
    """In float64: the sum of sizes is linear between the places where a value meets 0 or the box."""
    size, room = np.abs(point - clean), np.where(point > clean, 1 - clean, clean)

    def kept(threshold: float) -> np.ndarray:
        return np.clip(size - threshold, 0, room)

    threshold = 0.0
    if kept(0).sum() > radius:
        knots = np.unique(np.concatenate(([0.0], size, np.maximum(size - room, 0))))
        last = bisect.bisect_left(knots, -radius, key=lambda knot: -kept(knot).sum())
        above, below = kept(knots[last - 1]).sum(), kept(knots[last]).sum()
        threshold = float(np.interp(-radius, (-above, -below), knots[last - 1 : last + 1]))
    return clean + np.copysign(kept(threshold), point - clean)


@pytest.mark.parametrize("spread", [0.1, 0.6, 3.0])
def test_projection_agrees_with_a_generic_solver(spread):
    generator = np.random.default_rng(1)
    for _ in range(15):
        clean = generator.choice([0.0, 1.0, *generator.uniform(0, 1, 8)], 8)  # the box binds, also at the start
        point, radius = clean + generator.normal(0, spread, 8), generator.uniform(0.05, 2)
        np.testing.assert_allclose(
            _project(point, clean, radius), _by_quadratic_programming(point, clean, radius), atol=2e-5
        )


@pytest.mark.parametrize(("values", "radius"), [(3072, 12.0), (3072, 0.5), (50000, 60.0), (3072, 2000.0)])
@pytest.mark.parametrize("spread", [0.01, 0.3, 30.0])
def test_projection_is_exact_in_float32_at_the_size_of_images(values, radius, spread):
    generator = np.random.default_rng(2)
    clean = generator.uniform(0, 1, values).astype(np.float32)
    dense = generator.normal(0, spread, values)
    sparse = np.where(generator.uniform(size=values) < 0.02, dense, 0)
    for change in (dense, sparse):
        point = (clean + change).astype(np.float32)
        expected = _by_knots(*(a.astype(np.float64) for a in (point, clean)), radius)
        # One unit in the last place of the point, and the rounding of a sum of that many values.
        np.testing.assert_allclose(_project(point, clean, radius), expected, atol=3e-7 * max(1, spread * 4))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, spread=st.sampled_from([1e-3, 0.3, 100.0]), rows=st.integers(1, 4), side=st.integers(1, 6))
def test_a_row_is_projected_on_its_own_ball_whatever_its_neighbours(seed, spread, rows, side):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(rows, 2, side, side, generator=generator)
    images = clean + spread * torch.randn(clean.shape, generator=generator)
    radii = torch.rand(rows, generator=generator) * 3 * (torch.arange(rows) % 3 != 1)
    got = L1().project(images, clean, radii)
    assert ((got >= 0) & (got <= 1)).all()
    assert (L1().norm(got - clean) <= radii * (1 + 1e-5) + 1e-6).all()
    assert torch.equal(got[radii == 0], clean[radii == 0])
    torch.testing.assert_close(L1().project(got, clean, radii), got, atol=1e-6, rtol=0)
    for row in range(rows):
        assert torch.equal(L1().project(images[[row]], clean[[row]], radii[[row]]), got[[row]])


def test_what_is_inside_is_only_cut_to_the_box_and_memory_layout_is_kept():
    clean = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )
    images = clean + 0.01 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    got = L1().project(images, clean, torch.full((3,), 10.0))
    torch.testing.assert_close(got, images.clamp(0, 1), atol=1e-7, rtol=0)
    assert got.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, share=st.floats(0.01, 1), scale=st.sampled_from([1.0, 1e-20, 1e-40]))
def test_a_step_of_norm_one_moves_the_values_with_the_largest_gradients_that_can_move(seed, share, scale):
    generator = torch.Generator().manual_seed(seed)
    gradient = torch.randn(3, 2, 4, 4, generator=generator) * scale
    images = torch.rand(gradient.shape, generator=generator).mul_(3).sub_(1).clamp_(0, 1)  # two thirds on the border
    radii = torch.rand(3, generator=generator) * 12
    step = L1(share=share).steepest(gradient, images, radii)
    free = (gradient != 0) & ~((images <= 0) & (gradient < 0)) & ~((images >= 1) & (gradient > 0))
    for row in range(3):
        sizes = gradient[row].abs()[free[row]].sort(descending=True).values
        wanted = max(1, min(math.ceil(3 * float(radii[row])), math.ceil(share * 32), len(sizes)))
        moved = step[row] != 0
        # Those that equal the last one are chosen as well, as denormal gradients do now and then.
        assert torch.equal(moved, free[row] & (gradient[row].abs() >= sizes[wanted - 1]))
        assert torch.equal(step[row][moved].sign(), gradient[row][moved].sign())
    torch.testing.assert_close(L1().norm(step), torch.ones(3))


def test_a_step_goes_nowhere_where_nothing_can_move():
    ones, zeros = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    for gradient, images in ((zeros, ones / 2), (ones, ones), (-ones, zeros)):
        assert (L1().steepest(gradient, images, torch.ones(1)) == 0).all()


@pytest.mark.parametrize("settings", [{"share": 0}, {"share": 1.1}, {"values": 0}, {"values": -1}, {"share": math.nan}])
def test_how_many_values_a_step_moves_is_checked(settings):
    with pytest.raises(ValueError, match="share"):
        L1(**settings)


def test_a_start_is_laplacian_in_direction():
    """In an L1 ball of d values, a single value's size over the norm has mean 1/d and is not that of an L2 ball."""
    clean, radius = torch.full((4000, 1, 2, 2), 0.5), torch.full((4000,), 0.2)
    change = L1().start(clean, radius, torch.arange(4000) * 7919, torch.zeros(4000, dtype=torch.int64)) - 0.5
    part = (change.abs() / L1().norm(change)[:, None, None, None]).flatten()
    # Beta(1, d - 1) with d = 4: P(part > s) = (1 - s)^3.
    for size in (0.1, 0.3, 0.6):
        assert abs(float((part > size).float().mean()) - (1 - size) ** 3) < 0.02
    assert abs(float((change > 0).float().mean()) - 0.5) < 0.02


@pytest.mark.parametrize("geometry", [Linf(), L2(), L1()], ids=lambda geometry: geometry.name)
def test_a_masked_start_fills_the_ball_of_the_values_that_may_change(geometry):
    mask = torch.zeros(800, 1, 4, 4)
    mask[:, :, 1:3, 1:3] = 1
    clean, radius = torch.full((800, 2, 4, 4), 0.5), torch.full((800,), 0.2)
    images = geometry.start(clean, radius, torch.arange(800) * 7919, torch.zeros(800, dtype=torch.int64), mask)
    assert torch.equal(images[:, :, mask[0, 0] == 0], clean[:, :, mask[0, 0] == 0])
    length = geometry.norm(images - clean) / 0.2
    assert length.max() <= 1 + 1e-5
    assert abs(float(length.median()) - 0.5 ** (1 / 8)) < 0.015  # 8 values may change


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_a_linear_model_falls_just_above_the_closed_form_distance_and_not_below(seed):
    """The smallest L1 change that flips sign(w.x + b) spends all on the largest weight: |w.x + b| / max|w|."""
    generator = torch.Generator().manual_seed(seed)
    weight, clean = torch.randn(12, generator=generator), torch.full((1, 1, 3, 4), 0.5)
    bias = float(0.3 * weight.abs().max() - (weight * 0.5).sum())  # 0.3 away: the box does not bind
    gradient, one, every = -weight.view_as(clean), L1(values=1e-6), L1(values=1e6, share=1)
    for factor in (1.01, 0.99):
        radius, images, dense = torch.tensor([0.3 * factor]), clean, clean
        for _ in range(40):
            images = one.project(images + radius * one.steepest(gradient, images, radius), clean, radius)
            dense = every.project(dense + radius * every.steepest(gradient, dense, radius), clean, radius)
        scores = [float((weight * point.flatten()).sum() + bias) for point in (images, dense)]
        assert (scores[0] < 0) == (factor > 1)
        assert scores[1] >= scores[0] - 1e-5  # no way of stepping beats the largest weight alone


def test_steps_walk_on_where_the_best_value_is_spent():
    """With the box in the way the optimum fills values in order of weight; a step that saw no box would stall there."""
    weight, clean = torch.tensor([4.0, 3.0, 2.0, 1.0]).view(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.5)
    geometry, radius, images = L1(values=0.1), torch.tensor([1.2]), clean
    for _ in range(60):
        images = geometry.project(images + 0.1 * geometry.steepest(weight, images, radius), clean, radius)
    torch.testing.assert_close(images, torch.tensor([1.0, 1.0, 0.7, 0.5]).view(1, 1, 2, 2), atol=0.1, rtol=0)
    assert float((weight * (images - clean)).sum()) > 0.5 * 4 + 0.5 * 3 + 0.2 * 2 - 0.1


@pytest.mark.parametrize(("factor", "fallen"), [(1.1, True), (0.9, False)])
def test_rows_fall_where_their_distance_is_within_the_budget_and_nowhere_else(factor, fallen):
    """Through the whole recipe, rounding included: values of 8 bits in the middle of the box, one large weight."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(16, generator=generator)
    weight[5] = 4.0
    pixels = np.random.default_rng(0).integers(120, 136, (6, 4, 4, 1)).astype(np.uint8)
    middle = float((weight * 128 / 255).sum())
    net = frozen(TwoClassLinear(weight, 0.6 - middle))  # every row lies on the same side, some way off the border
    scores = net(torch.from_numpy(pixels).float().flatten(1) / 255)[:, 1].double().numpy()
    labels = np.ones(6, np.int64)
    for row, distance in enumerate(scores / 4.0):
        attack = recipe(net, classes=2, name="pgd", norm="l1", eps=float(distance * factor), steps=30)
        made = attack.make(rows(pixels[[row]], labels[[row]]), seeds(1)[:, None])
        spent = int(np.abs(made.pixels.astype(int) - pixels[[row]]).sum())
        assert spent <= distance * factor * 255 + 1e-6
        assert bool(predictions(net, made.pixels)[0] == 0) == fallen
        assert made.columns["norm"].tolist() == ["L1"]
