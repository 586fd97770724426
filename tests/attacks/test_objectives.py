"""Objectives: per row, against hand-written formulas, and what they promise about scale and small class counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hardset.pipeline.attacks import objectives as o
from hardset.pipeline.attacks.objectives import Goal

ALL = (
    *(o.cross_entropy, o.targeted_cross_entropy, o.margin, o.targeted_margin, o.dlr, o.targeted_dlr),
    *(o.probability_margin, o.targeted_probability_margin),
)


def goal(labels: Tensor, targets: Tensor, *, order: int = 0, share: float = 0.0) -> Goal:
    return Goal(labels, targets, torch.full_like(labels, order), torch.full((len(labels),), share))


@pytest.fixture
def case() -> tuple[Tensor, Goal]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(40, 6, generator=generator) * 2
    labels = torch.randint(0, 6, (40,), generator=generator)
    targets = (labels + torch.randint(1, 6, (40,), generator=generator)) % 6
    return logits, goal(labels, targets)


def test_values_are_those_of_the_papers_row_by_row(case):
    logits, aim = case
    for row in range(len(logits)):
        z, y, t = logits[row].double(), int(aim.labels[row]), int(aim.targets[row])
        p = z.softmax(0)
        ranked = sorted(z.tolist(), reverse=True)
        other = max(v for k, v in enumerate(z.tolist()) if k != y)
        beside = max(v for k, v in enumerate(z.tolist()) if k != t)
        wanted = (
            float(z.exp().sum().log() - z[y]),
            float(z[t] - z.exp().sum().log()),
            other - float(z[y]),
            float(z[t]) - beside,
            (other - float(z[y])) / (ranked[0] - ranked[2]),
            float(z[t] - z[y]) / (ranked[0] - (ranked[2] + ranked[3]) / 2),
            max(float(v) for k, v in enumerate(p) if k != y) - float(p[y]),
            float(p[t]) - max(float(v) for k, v in enumerate(p) if k != t),
        )
        for objective, value in zip(ALL, wanted, strict=True):
            got = float(objective(logits, aim)[row])
            assert got == pytest.approx(value, rel=1e-5, abs=1e-5), objective.__name__


def test_the_turns_of_pma_end_in_the_whole_margin(case):
    logits, aim = case
    p = logits.double().softmax(1)
    own = p.gather(1, aim.labels[:, None]).squeeze(1)
    other = p.scatter(1, aim.labels[:, None], -1).amax(1)
    for order, half in ((0, other - 1), (1, -own)):
        first = o.probability_margin_in_turns(logits, goal(aim.labels, aim.targets, order=order, share=0.49))
        last = o.probability_margin_in_turns(logits, goal(aim.labels, aim.targets, order=order, share=0.5))
        torch.testing.assert_close(first, half.float(), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(last, (other - own).float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("objective", ALL, ids=lambda f: f.__name__)
def test_rows_do_not_touch_each_other_and_half_precision_is_widened(case, objective):
    logits, aim = case
    whole = objective(logits.bfloat16(), aim)
    parts = [goal(aim.labels[i : i + 1], aim.targets[i : i + 1]) for i in range(40)]
    alone = torch.cat([objective(logits[i : i + 1].bfloat16(), part) for i, part in enumerate(parts)])
    assert whole.dtype == torch.float32
    assert whole.shape == (40,)
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-6)


def test_dlr_is_blind_to_shift_and_scale(case):
    logits, aim = case
    for objective in (o.dlr, o.targeted_dlr):
        torch.testing.assert_close(objective(logits * 50 + 7, aim), objective(logits, aim), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("objective", [o.margin, o.dlr, o.probability_margin], ids=lambda f: f.__name__)
def test_margins_lead_on_where_the_gradient_of_cross_entropy_is_dead(case, objective):
    logits, aim = case
    sure = goal(logits.argmax(1), aim.targets)
    confident = (logits * 300).requires_grad_()
    dead = torch.autograd.grad(o.cross_entropy(confident, sure).sum(), confident)[0].abs().amax(1)
    alive = torch.autograd.grad(objective(confident, sure).sum(), confident)[0].abs().amax(1)
    assert (dead == 0).any()
    assert (alive > 1e-8).all()


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_too_few_classes_fall_back_to_the_margin(classes):
    logits = torch.tensor([[3.0, 1.0, -1.0, -2.0]])[:, :classes]
    aim = goal(torch.tensor([0]), torch.tensor([1]))
    dlr, reach = float(o.dlr(logits, aim)), float(o.targeted_dlr(logits, aim))
    assert dlr == pytest.approx(-2.0 if classes < 3 else -2.0 / 4.0)
    assert reach == pytest.approx(-2.0 if classes < 4 else -2.0 / (3.0 + 1.5))


def test_reached_agrees_with_argmax_and_never_trusts_a_broken_row():
    logits = torch.tensor([[1.0, 1.0], [0.0, 1.0], [float("nan"), 1.0], [0.0, float("inf")]])
    labels, targets = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    for targeted in (False, True):
        assert o.reached(logits, labels, targets, targeted=targeted).tolist() == [False, True, False, False]
