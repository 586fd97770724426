"""FAB and DDN: smallest changes of linear models in closed form, the paper's loop, and hyperplanes beside scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.ddn import Ddn
from hardset.pipeline.attacks.fab import Fab
from hardset.pipeline.attacks.geometries import L2, Geometry, Linf
from hardset.pipeline.attacks.hyperplanes import onto_hyperplane
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.objectives import Goal
from hardset.pipeline.attacks.pieces import LOSSES
from hardset.pipeline.attacks.slots import REACHED
from hardset.schemas.norms import Norm
from tests.attacks.drive import passes
from tests.attacks.nets import TwoClassLinear, conv_net, images, predictions, recipe, rows, seeds
from tests.attacks.test_engine import rows as search_rows
from tests.attacks.test_engine import run, search

GEOMETRIES: dict[Norm, tuple[Geometry, float]] = {"linf": (Linf(), 1), "l2": (L2(), 2), "l1": (L1(), math.inf)}
ENDLESS = 1e6


def linear(count: int = 8, side: int = 8) -> tuple[TwoClassLinear, Tensor, Tensor, Tensor]:
    """A network, rows so far inside the box that no smallest change meets it, their labels and gaps of logits."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(side * side, generator=generator)
    clean = 0.4 + 0.2 * torch.rand(count, 1, side, side, generator=generator)
    net = TwoClassLinear(weight, -float((clean.flatten(1) @ weight).mean()))
    logits = net(clean)
    return net, clean, logits.argmax(dim=1), (logits[:, 1] - logits[:, 0]).abs()


@pytest.mark.parametrize("norm", GEOMETRIES)
def test_fab_finds_the_smallest_change_of_a_linear_model_at_once(norm: Norm) -> None:
    """Its second iterate overshoots the boundary by 5 %, and what is drawn in comes nearer."""
    geometry, dual = GEOMETRIES[norm]
    net, clean, labels, gap = linear()
    smallest = gap / torch.linalg.vector_norm(net.weight, ord=dual)
    nearest = torch.full((8,), torch.inf)
    for seen, _ in passes(Fab(), net, clean, labels, geometry=geometry, radius=torch.full((8,), ENDLESS), steps=30):
        distance = geometry.norm(seen.images - clean)
        nearest = torch.where(seen.met, torch.minimum(nearest, distance), nearest)
        if int(seen.step[0]) == 1:
            torch.testing.assert_close(distance, 1.05 * smallest, rtol=1e-3, atol=0)
            assert bool(seen.met.all())
    assert bool((nearest >= smallest * (1 - 1e-4)).all()) and float((nearest / smallest).max()) < 1.051


def onto(point: Tensor, normal: Tensor, gain: float) -> Tensor:
    """The smallest Euclidean change in the box that gains so much along `normal`, by bisection in float64."""
    sign = 1.0 if gain >= 0 else -1.0
    slope, room = normal.double() * sign, torch.where(normal * sign > 0, 1 - point, point).double()
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        enough = float((torch.minimum(slope.abs() * middle, room) * slope.abs()).sum()) >= abs(gain)
        low, high = (low, middle) if enough else (middle, high)
    return (torch.minimum(slope.abs() * high, room) * slope.sign()).float()


def test_fab_agrees_with_the_papers_algorithm_in_l2() -> None:
    """Croce and Hein, algorithm 1, for one row: steps to the boundary, mixed with those from the clean image."""
    net, pixels = conv_net(), images(5, seed=19)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(predictions(net, pixels))
    radius = torch.full((5,), ENDLESS)
    found = [seen.images for seen, _ in passes(Fab(), net, clean, labels, geometry=L2(), radius=radius, steps=20)]
    capped = 0
    for row in range(5):
        label, image, point = int(labels[row]), clean[row], clean[row]
        for step in range(20):
            torch.testing.assert_close(found[step][row], point, rtol=0, atol=2e-4)
            asked = point.clone().requires_grad_(True)
            logits = net(asked[None])[0]
            loss = torch.cat((logits[:label], logits[label + 1 :])).max() - logits[label]
            (gradient,) = torch.autograd.grad(loss, asked)
            if int(logits.argmax()) != label:
                point = image + 0.9 * (point - image)
                continue
            here = onto(point, gradient, -loss.item())
            there = onto(image, gradient, float((gradient * (point - image)).sum()) - loss.item())
            weight = float(here.norm() / (here.norm() + there.norm()))
            capped += weight > 0.1
            weight = min(weight, 0.1)
            point = ((1 - weight) * (point + 1.05 * here) + weight * (image + 1.05 * there)).clamp(0, 1)
    assert capped > 5


def test_ddn_finds_the_smallest_change_of_a_linear_model() -> None:
    net, clean, labels, gap = linear()
    smallest = gap / net.weight.norm()
    nearest = torch.full((8,), torch.inf)
    for seen, _ in passes(Ddn(), net, clean, labels, geometry=L2(), radius=torch.full((8,), ENDLESS), steps=300):
        nearest = torch.where(seen.met, torch.minimum(nearest, L2().norm(seen.images - clean)), nearest)
    assert bool((nearest >= smallest * (1 - 1e-4)).all()) and float((nearest / smallest).max()) < 1.06


def test_ddn_agrees_with_the_papers_algorithm() -> None:
    """Rony et al., algorithm 1, for one row: the sphere by 5 % a step, steps of length 1 to 0.01 along a cosine."""
    net, pixels = conv_net(), images(4, seed=41)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(predictions(net, pixels))
    radius = torch.full((4,), ENDLESS)
    found = [seen.images for seen, _ in passes(Ddn(), net, clean, labels, geometry=L2(), radius=radius, steps=25)]
    for row in range(4):
        sphere, point = 1.0, clean[row]
        for step in range(25):
            torch.testing.assert_close(found[step][row], point, rtol=0, atol=1e-5)
            asked = point.clone().requires_grad_(True)
            logits = net(asked[None])[0]
            label = int(labels[row])
            others = torch.cat((logits[:label], logits[label + 1 :])).max()
            (gradient,) = torch.autograd.grad(others - logits[label], asked)
            sphere *= 0.95 if int(logits.argmax()) != label else 1.05
            size = 0.01 + 0.99 * (1 + math.cos(math.pi * step / 25)) / 2
            change = point + size * gradient / gradient.norm() - clean[row]
            point = (clean[row] + sphere * change / change.norm()).clamp(0, 1)


def problem(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 12, generator=generator), torch.randn(1, 12, generator=generator)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, -0.5])
@pytest.mark.parametrize("seed", range(3))
def test_changes_onto_a_hyperplane_are_the_smallest_in_the_box(seed: int, share: float) -> None:
    """Beside linear programs of scipy (Linf, L1) and its solver for least squares (L2); some values meet the box."""
    point, normal = problem(seed)
    ends = torch.where(normal * share > 0, 1 - point, -point)
    gain = abs(share) * (normal * ends).sum(dim=1)
    low, high = (-point[0]).numpy(), (1 - point[0]).numpy()
    slope, wanted = normal[0].double().numpy(), float(gain)
    for norm, (geometry, _) in GEOMETRIES.items():
        found = onto_hyperplane(point, normal, gain, norm)
        assert float((normal * found).sum()) == pytest.approx(wanted, abs=1e-4)
        assert bool((point + found >= -1e-6).all()) and bool((point + found <= 1 + 1e-6).all())
        best = least(norm, slope, wanted, low, high)
        assert float(geometry.norm(found)[0]) == pytest.approx(best, rel=2e-3, abs=1e-4), norm


def least(norm: Norm, slope: np.ndarray, wanted: float, low: np.ndarray, high: np.ndarray) -> float:
    """Norm of the smallest change in the box whose product with the slope is the one wanted."""
    count = len(slope)
    if norm == "l2":
        solved = scipy.optimize.minimize(
            lambda d: (d @ d, 2 * d), np.zeros(count), jac=True, method="SLSQP",
            bounds=list(zip(low, high, strict=True)),
            constraints={"type": "eq", "fun": lambda d: slope @ d - wanted, "jac": lambda d: slope},
            options={"ftol": 1e-12, "maxiter": 500},
        )  # fmt: skip
        return float(np.sqrt(solved.fun))
    sizes = 1 if norm == "linf" else count
    # Variables: the change, then its size, one for all or one per value.
    cost = np.r_[np.zeros(count), np.ones(sizes)]
    of = -np.ones((count, 1)) if norm == "linf" else -np.eye(count)
    above = np.block([[np.eye(count), of], [-np.eye(count), of]])
    bounds = [*zip(low, high, strict=True), *[(0, None)] * sizes]
    solved = scipy.optimize.linprog(
        cost, above, np.zeros(2 * count), np.r_[slope, np.zeros(sizes)][None], [wanted], bounds=bounds
    )
    return float(solved.fun)


def test_what_the_box_cannot_hold_goes_as_far_as_it_can() -> None:
    point, normal = problem(5)
    ends = torch.where(normal > 0, 1 - point, -point)
    for norm in GEOMETRIES:
        torch.testing.assert_close(onto_hyperplane(point, normal, torch.tensor([1e3]), norm), ends, rtol=0, atol=1e-5)
    assert not onto_hyperplane(point, torch.zeros_like(normal), torch.tensor([1.0]), "l2").any()


@pytest.mark.parametrize(("name", "norm", "eps"), [
    ("fab", "linf", "40/255"), ("fab", "l2", 0.6), ("fab", "l1", 5.0), ("fab_t", "l2", 0.6), ("ddn", "l2", 0.6),
    ("fmn", "l2", 0.6), ("fmn", "l1", 5.0), ("apgd_ce", "l1", 5.0),
])  # fmt: skip
def test_searches_beyond_the_budget_store_nothing_beyond_it(name: str, norm: Norm, eps: str | float) -> None:
    net, pixels = conv_net(), images(12, seed=7)
    labels = predictions(net, pixels)
    made = recipe(net, classes=10, name=name, norm=norm, eps=eps, steps=20).make(
        rows(pixels, labels), seeds(12)[:, None]
    )
    change = made.pixels.astype(np.int64) - pixels
    size, axes = np.abs(change), (1, 2, 3)
    spent = {"linf": size.max(axes), "l1": size.sum(axes), "l2": (size**2).sum(axes)}
    limit = 40 if norm == "linf" else float(eps) * 255 if norm == "l1" else (float(eps) * 255) ** 2
    assert (spent[norm] <= limit + 1e-6).all()
    assert spent[norm].any()
    assert (predictions(net, made.pixels) != labels).any()


def test_a_fall_beyond_the_budget_ends_no_search() -> None:
    """Rows that first fall outside their budget are searched on, and found inside it."""
    net, pixels = conv_net(), images(40, seed=23)
    labels = predictions(net, pixels)
    settings = {"objective": objectives.margin, "geometry": L2(), "schedule": Fab(), "random_start": False}
    fallen = {}
    for stop in ("success", "never"):
        work = search_rows(pixels, labels, 0.35, 1 / 255, geometry=L2())
        fallen[stop] = run(net, search(stop=stop, steps=40, **settings), work).rank == REACHED
    assert 5 < fallen["never"].sum() < 40
    np.testing.assert_array_equal(fallen["success"], fallen["never"])


def test_the_gap_to_a_target_is_that_of_two_logits() -> None:
    logits = torch.tensor([[3.0, 1.5, 7.0], [0.25, 4.0, -1.0]])
    goal = Goal(torch.tensor([1, 0]), torch.tensor([0, 2]), torch.zeros(2, dtype=torch.int64), torch.zeros(2))
    assert objectives.gap_to_target(logits, goal).tolist() == [1.5, -1.25]
    assert LOSSES["margin"].form(targeted=False, towards=True) is objectives.gap_to_target
    assert LOSSES["margin"].form(targeted=True, towards=True) is objectives.targeted_margin
