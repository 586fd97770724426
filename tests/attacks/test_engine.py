"""The loop: closed forms, exhaustive search, a textbook loop beside it, and what it spends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.network import SearchNetwork
from hardset.pipeline.attacks.schedules import Cosine, Fixed
from hardset.pipeline.attacks.search import Search, SearchOutcome, SearchRows
from hardset.pipeline.attacks.slots import REACHED
from tests.attacks.nets import CPU, TwoClassLinear, conv_net, frozen, images, linear_case, predictions, seeds

_LINF = Linf()


def rows(pixels: np.ndarray, labels: np.ndarray, eps, step: float, *, geometry=_LINF, targets=None) -> SearchRows:
    count = len(pixels)
    budgets = np.broadcast_to(np.float64(eps), (count,)).copy()
    labelled = torch.from_numpy(labels.astype(np.int64))
    return SearchRows(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        labels=labelled,
        targets=(labelled[:, None] if targets is None else targets),
        seeds=torch.from_numpy(seeds(count)),
        radius=geometry.radius(budgets),
        budget=geometry.budget(budgets),
        step_size=np.full(count, step),
    )


def search(*, stop: str = "never", **changes) -> Search:
    changes["after_success"] = 0 if stop == "success" else None
    return Search(
        **({"objective": objectives.cross_entropy, "geometry": Linf(), "schedule": Fixed(), "steps": 10} | changes)
    )


def run(net: nn.Module, what: Search, work: SearchRows, *, batch: int = 8, precision: str = "float32") -> SearchOutcome:
    networks = () if precision == "float32" else (_bfloat16(net),)
    return Engine(net, batch, CPU, networks).run(what, work)


def _bfloat16(net: nn.Module) -> SearchNetwork:
    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net(images).float()

    return SearchNetwork(forward, exact=False, describe=lambda: "autocast")


def stored(outcome: SearchOutcome, work: SearchRows, geometry) -> torch.Tensor:
    return geometry.to_grid(outcome.images, work.pixels.float(), torch.from_numpy(work.budget))


@pytest.mark.parametrize("stop", ["success", "never"])
@pytest.mark.parametrize("schedule", [Fixed(), Cosine()], ids=["fixed", "cosine"])
def test_linf_falls_exactly_where_a_linear_model_can_fall(stop, schedule):
    generator = np.random.default_rng(0)
    net, pixels, labels, distance = linear_case(generator)
    eps = generator.uniform(0, 12, 60) / 255
    outcome = run(net, search(stop=stop, schedule=schedule), rows(pixels, labels, eps, 5 / 255))
    expected = np.floor(eps * 255) > distance
    assert expected.sum() > 10
    assert (~expected).sum() > 10
    np.testing.assert_array_equal(outcome.rank == REACHED, expected)


def test_l2_falls_within_a_level_of_where_a_linear_model_can_fall():
    weight = torch.tensor(np.random.default_rng(1).normal(size=64), dtype=torch.float32)
    pixels = images(80, low=60, high=196, seed=2)
    scores = torch.from_numpy(pixels).reshape(80, -1).double() / 255 @ weight.double()
    bias = -float(scores.median())
    labels = (scores + bias > 0).long().numpy()
    distance = (scores + bias).abs().numpy() / float(weight.norm())
    eps = np.random.default_rng(3).uniform(0.05, 0.6, 80)
    work = rows(pixels, labels, eps, 0.1, geometry=L2())
    outcome = run(TwoClassLinear(weight, bias), search(geometry=L2(), steps=20, stop="success"), work)
    fallen = outcome.rank == REACHED
    assert not fallen[eps < distance].any()
    assert fallen[eps > 1.03 * distance + 1 / 255].all()
    assert 20 < fallen.sum() < 70


def test_no_corner_of_the_ball_beats_the_search_on_ten_pixels():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        net = frozen(nn.Sequential(nn.Flatten(), nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 4)))
    pixels = np.random.default_rng(4).integers(40, 216, (40, 2, 5, 1)).astype(np.uint8)
    labels = predictions(net, pixels)
    corners = torch.tensor(list(itertools.product((-1, 1), repeat=10)), dtype=torch.float32).view(-1, 1, 2, 5)
    levels = 30
    work = rows(pixels, labels, levels / 255, 6 / 255)
    what = search(objective=objectives.margin, steps=20, restarts=8, stop="success")
    fallen = run(net, what, work).rank == REACHED
    with torch.no_grad():
        at_corner = torch.stack([
            (net(((image[None].float() + levels * corners).clamp(0, 255)) / 255).argmax(1) != label).any()
            for image, label in zip(work.pixels, work.labels, strict=True)
        ]).numpy()  # fmt: skip
    assert 8 < at_corner.sum() < 36
    assert not (at_corner & ~fallen).any()


def _start(work: SearchRows, eps: float) -> torch.Tensor:
    count = len(work)
    radius, restart = torch.full((count,), eps), torch.zeros(count, dtype=torch.int64)
    return Linf().start(work.pixels.float() / 255, radius, work.seeds, restart)


def _textbook(net, work: SearchRows, *, eps: float, step: float, steps: int, rounded: bool):
    """Madry's loop over the whole batch; every iterate with its loss and verdict."""
    clean, images, seen = work.pixels.float() / 255, _start(work, eps), []
    for count in range(steps + 1):
        point = (torch.round(images * 255) / 255 if rounded else images).detach().requires_grad_()
        logits = net(point)
        losses = F.cross_entropy(logits, work.labels, reduction="none")
        seen.append((images, losses.detach(), logits.argmax(1) != work.labels))
        if count < steps:
            losses.sum().backward()
            images = (images + step * point.grad.sign()).detach()
            images = torch.max(torch.min(images, clean + eps), clean - eps).clamp(0, 1)
    return seen


@pytest.mark.parametrize("on_grid", [True, False])
def test_agrees_with_a_textbook_loop_step_for_step(on_grid):
    net, pixels = conv_net(), images(8)
    work = rows(pixels, predictions(net, pixels), 8 / 255, 1.3 / 255)
    outcome = run(net, search(steps=12, on_grid=on_grid), work)
    seen = _textbook(net, work, eps=8 / 255, step=1.3 / 255, steps=12, rounded=on_grid)
    for row in range(8):
        best = max(seen, key=lambda step, row=row: (bool(step[2][row]), float(step[1][row])))
        torch.testing.assert_close(outcome.images[row], best[0][row], atol=1e-6, rtol=0)
        assert outcome.loss[row] == pytest.approx(float(best[1][row]), abs=1e-5)
        assert (outcome.rank[row] == REACHED) == bool(best[2][row])


def test_no_gradient_is_spent_on_rows_that_are_done():
    net, pixels, steps = conv_net(), images(200, seed=9), 12
    labels = predictions(net, pixels)
    work = rows(pixels, labels, 6 / 255, 1 / 255)
    seen = _textbook(net, work, eps=6 / 255, step=1 / 255, steps=steps, rounded=True)
    first = torch.stack([step[2] for step in seen]).float().argmax(0)
    ever = torch.stack([step[2] for step in seen]).any(0)
    minimum = torch.where(ever, (first + 1).clamp(max=steps), steps)
    outcome = run(net, search(steps=steps, stop="success"), work, batch=16)
    assert 40 < ever.sum() < 180
    np.testing.assert_array_equal(outcome.rank == REACHED, ever.numpy())
    np.testing.assert_array_equal(outcome.gradients, minimum.numpy())
    assert outcome.effort.wasted == 0
    # Slots idle only while the last items run out.
    assert outcome.effort.batches * 16 <= int(minimum.sum()) + 16 * steps


@pytest.mark.parametrize("stop", ["success", "never"])
def test_restarts_are_skipped_for_fallen_rows_and_never_make_a_row_worse(stop):
    net, pixels = conv_net(), images(60, seed=11)
    labels = predictions(net, pixels)
    work = rows(pixels, labels, 4 / 255, 1 / 255)
    once, often = (run(net, search(steps=6, stop=stop, restarts=count), work, batch=16) for count in (1, 4))
    fell = once.rank == REACHED
    assert 0 < fell.sum() < 60
    assert (often.rank >= once.rank).all()
    if stop == "success":
        np.testing.assert_array_equal(often.gradients[fell], once.gradients[fell])
        assert torch.equal(often.images[fell], once.images[fell])
        resisting = often.rank != REACHED
        assert (often.gradients[resisting] == 24).all()
        assert often.effort.wasted <= 16 * 6
    else:
        assert (often.gradients == 24).all()
        assert (often.loss[fell] >= once.loss[fell]).all()
        assert (often.loss > once.loss).any()


@pytest.mark.parametrize("stop", ["success", "never"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_what_is_called_reached_is_reached_as_stored_at_any_batch(batch, stop):
    net, pixels = conv_net(), images(20, seed=13)
    work = rows(pixels, predictions(net, pixels), 5 / 255, 1.7 / 255)
    outcome = run(net, search(steps=8, stop=stop), work, batch=batch)
    levels = stored(outcome, work, Linf())
    with torch.no_grad():
        verdict = net(levels / 255).argmax(1) != work.labels
    np.testing.assert_array_equal(outcome.rank == REACHED, verdict.numpy())
    assert (levels != work.pixels).flatten(1).any(1).all()


class _BlindInBfloat16(nn.Module):
    """Under autocast every image looks misclassified, so every verdict of the search is a false alarm."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.net(images)
        return logits - 1e3 * F.one_hot(logits.argmax(1), 10) if torch.is_autocast_enabled("cpu") else logits


@pytest.mark.parametrize("blind", [False, True])
def test_falls_found_in_bfloat16_are_confirmed_in_float32(blind):
    net, pixels = conv_net(), images(40, seed=17)
    work = rows(pixels, predictions(net, pixels), 5 / 255, 1 / 255)
    outcome = run(_BlindInBfloat16(net) if blind else net, search(steps=8, stop="success"), work, precision="bfloat16")
    with torch.no_grad():
        verdict = net(stored(outcome, work, Linf()) / 255).argmax(1) != work.labels
    np.testing.assert_array_equal(outcome.rank == REACHED, verdict.numpy())
    exact = run(net, search(steps=8, stop="success"), work).rank == REACHED
    if not blind:
        assert abs(int(exact.sum()) - int(verdict.sum())) <= 2


def test_rows_already_wrong_are_moved_and_rows_without_a_level_cost_nothing():
    net, pixels = conv_net(), images(12, seed=19)
    wrong = (predictions(net, pixels) + 1) % 10
    for stop in ("success", "never"):
        work = rows(pixels, wrong, np.array([4 / 255] * 8 + [0.9 / 255] * 4), 0.2 / 255)
        outcome = run(net, search(steps=8, stop=stop, random_start=False), work)
        changed = (stored(outcome, work, Linf()) != work.pixels).flatten(1).any(1).numpy()
        assert changed.tolist() == [True] * 8 + [False] * 4
        assert (outcome.gradients[8:] == 0).all()
        assert (outcome.rank[8:] < 0).all()


def test_two_classes_and_targets_per_restart():
    net, pixels = conv_net(classes=4), images(30, seed=23)
    labels = predictions(net, pixels)
    others = torch.tensor([[c for c in range(4) if c != label] for label in labels])
    what = search(objective=objectives.targeted_margin, steps=8, stop="success")
    work = rows(pixels, labels, 8 / 255, 2 / 255, targets=others)
    every = run(net, what, work).rank == REACHED
    one_by_one = [
        run(net, what, rows(pixels, labels, 8 / 255, 2 / 255, targets=others[:, k : k + 1])).rank == REACHED
        for k in range(3)
    ]
    assert (every >= one_by_one[0]).all()
    assert every.sum() >= max(one.sum() for one in one_by_one)
    two = conv_net(classes=2)
    two_labels = predictions(two, pixels)
    outcome = run(two, search(objective=objectives.dlr, steps=8), rows(pixels, two_labels, 16 / 255, 4 / 255))
    assert (outcome.rank == REACHED).any()
