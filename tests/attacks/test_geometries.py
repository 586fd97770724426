"""Geometries: projections against a generic solver, steps against the definition, starts against the distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hardset.pipeline.attacks import grid
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1

GEOMETRIES = (Linf(), L2(), L1())


def _nearest(point: np.ndarray, clean: np.ndarray, radius: float, norm: str, box: tuple[float, float]) -> np.ndarray:
    """The nearest point of the ball (cut with the box) to `point`, by sequential quadratic programming."""
    low, high = np.full_like(clean, box[0]), np.full_like(clean, box[1])
    constraints = []
    if norm == "linf":
        low, high = np.maximum(low, clean - radius), np.minimum(high, clean + radius)
    else:
        constraints = [{"type": "ineq", "fun": lambda x: radius**2 - ((x - clean) ** 2).sum()}]
    found = minimize(
        lambda x: ((x - point) ** 2).sum(), clean, jac=lambda x: 2 * (x - point),
        bounds=list(zip(low, high, strict=True)), constraints=constraints, method="SLSQP", options={"ftol": 1e-12},
    )  # fmt: skip
    return found.x


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projection_agrees_with_a_generic_solver(norm):
    geometry = {g.name: g for g in GEOMETRIES}[norm]
    generator = np.random.default_rng(1)
    for _ in range(20):
        # Linf: the box may cut. L2: projecting on the ball and then on the box is only exact where it does not.
        clean = generator.uniform(0, 1, 6) if norm == "linf" else generator.uniform(0.4, 0.6, 6)
        point, radius = clean + generator.normal(0, 0.6, 6), generator.uniform(0.05, 0.35)
        args = [torch.tensor(a, dtype=torch.float32).view(1, 1, 2, 3) for a in (point, clean)]
        got = geometry.project(*args, torch.tensor([radius], dtype=torch.float32)).flatten().numpy()
        np.testing.assert_allclose(got, _nearest(point, clean, radius, norm, (0, 1)), atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 0.1, 1.0, 100.0]), radius=st.floats(0, 2))
def test_projection_lands_in_ball_and_box_and_leaves_what_is_inside(seed, scale, radius):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(5, 3, 4, 4, generator=generator)
    images = clean + scale * torch.randn(5, 3, 4, 4, generator=generator)
    radii = torch.full((5,), radius) * torch.rand(5, generator=generator)
    for geometry in GEOMETRIES:
        inside = geometry.project(images, clean, radii)
        assert ((inside >= 0) & (inside <= 1)).all()
        assert (geometry.norm(inside - clean) <= radii * (1 + 1e-5) + 1e-6).all()
        torch.testing.assert_close(geometry.project(inside, clean, radii), inside, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e-30, 1e-40])
def test_steepest_step_has_norm_one_and_the_dual_norm_as_gain_however_small_the_gradient(scale):
    gradient = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * scale
    for geometry, dual in ((Linf(), 1), (L2(), 2)):
        step = geometry.steepest(gradient, torch.full_like(gradient, 0.5), torch.ones(4))
        torch.testing.assert_close(geometry.norm(step), torch.ones(4))
        gain = (step.double() * gradient.double()).flatten(1).sum(1)
        expected = torch.linalg.vector_norm(gradient.double().flatten(1), ord=dual, dim=1)
        torch.testing.assert_close(gain, expected, rtol=1e-4, atol=0)
        assert (geometry.steepest(*torch.zeros(2, 1, 1, 2, 2), torch.ones(1)) == 0).all()


def test_starts_are_uniform_in_the_ball_and_belong_to_the_row():
    clean, radius = torch.full((600, 1, 4, 4), 0.5), torch.full((600,), 0.2)
    seeds, restart = torch.arange(600) * 7919, torch.zeros(600, dtype=torch.int64)
    for geometry in GEOMETRIES:
        change = geometry.start(clean, radius, seeds, restart) - clean
        length = geometry.norm(change) / 0.2
        assert length.max() <= 1 + 1e-5
        # In a d-ball of any norm, P(length <= r) = r^d: the median is 0.5^(1/16).
        assert abs(float(length.median()) - 0.5 ** (1 / 16)) < 0.01
        assert abs(float(change.mean())) < 0.004
        some = torch.tensor([5, 3])
        again = geometry.start(clean[some], radius[some], seeds[some], restart[some])
        assert torch.equal(again - 0.5, change[some])
        other = geometry.start(clean[some], radius[some], seeds[some], restart[some] + 1)
        assert not torch.equal(other - 0.5, change[some])


def test_radius_of_an_linf_ball_holds_whole_levels_only():
    eps = np.array([0.3, 8 / 255, 0.5 / 255, 0.0])
    assert Linf().budget(eps).tolist() == [76, 8, 0, 0]
    np.testing.assert_allclose(Linf().radius(eps) * 255, [76, 8, 0, 0])
    assert L2().budget(np.array([0.5, 1 / 255, 0.9 / 255])).tolist() == [int(127.5**2), 1, 0]
    assert L1().budget(np.array([12.0, 0.3, 0.5 / 255])).tolist() == [3060, 76, 0]
    np.testing.assert_allclose(L1().radius(np.array([12.0, 0.3])) * 255, [3060, 76])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 3), scale=st.sampled_from([0.02, 1.0]), radius=st.floats(0, 3))
def test_what_comes_in_clean_stays_clean_exactly(seed, rows, scale, radius):
    """Patches rest on it: with gradient and noise masked, values outside the mask are never moved."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (rows, 3, 5, 5), generator=generator).float()
    clean = levels / 255
    mask = (torch.rand(rows, 1, 5, 5, generator=generator) < 0.4).float()
    radii = torch.full((rows,), radius)
    outside = (mask == 0).expand_as(clean)
    for geometry in GEOMETRIES:
        seeds, restart = torch.arange(rows), torch.zeros(rows, dtype=torch.int64)
        gradient = torch.randn(clean.shape, generator=generator) * mask
        moved = geometry.start(clean, radii, seeds, restart, mask) + scale * geometry.steepest(gradient, clean, radii)
        moved = geometry.project(moved, clean, radii)
        assert torch.equal(moved[outside], clean[outside])
        budget = torch.from_numpy(geometry.budget(np.full(rows, radius)))
        stored = geometry.to_grid(moved, levels, budget)
        assert torch.equal(stored[outside], levels[outside])
        assert grid.within(stored.to(torch.uint8), levels.to(torch.uint8), budget, geometry.name).all()


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry.name)
def test_results_do_not_depend_on_the_memory_layout(geometry):
    generator = torch.Generator().manual_seed(3)
    levels = torch.randint(0, 256, (4, 3, 6, 6), generator=generator).float()
    clean, gradient = levels / 255, torch.randn(levels.shape, generator=generator)
    images = clean + 0.2 * torch.randn(levels.shape, generator=generator)
    radii, budget = torch.full((4,), 0.8), torch.from_numpy(geometry.budget(np.full(4, 0.8)))

    def results(layout):
        image, source, slope, level = (a.contiguous(memory_format=layout) for a in (images, clean, gradient, levels))
        inside = geometry.project(image, source, radii)
        return inside, geometry.steepest(slope, source, radii), geometry.to_grid(inside, level, budget)

    plain, last = results(torch.contiguous_format), results(torch.channels_last)
    for one, other in zip(plain, last, strict=True):
        torch.testing.assert_close(one, other.contiguous(), atol=1e-6, rtol=0)
        assert other.is_contiguous(memory_format=torch.channels_last)
