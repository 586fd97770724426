"""Objectives: per row, against hand-written formulas, and what they promise about scale and small class counts."""

from __future__ import annotations

import pytest
import torch

from pipeline.attacks import objectives as o

ALL = (o.cross_entropy, o.targeted_cross_entropy, o.margin, o.targeted_margin, o.dlr, o.targeted_dlr)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(40, 6, generator=generator) * 3
    labels = torch.randint(0, 6, (40,), generator=generator)
    targets = (labels + torch.randint(1, 6, (40,), generator=generator)) % 6
    return logits, labels, targets


def test_values_are_those_of_the_papers_row_by_row(case):
    logits, labels, targets = case
    for row in range(len(labels)):
        z, y, t = logits[row].double(), int(labels[row]), int(targets[row])
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
        )
        for objective, value in zip(ALL, wanted, strict=True):
            got = float(objective(logits, labels, targets)[row])
            assert got == pytest.approx(value, rel=1e-5, abs=1e-5), objective.__name__


@pytest.mark.parametrize("objective", ALL, ids=lambda f: f.__name__)
def test_rows_do_not_touch_each_other_and_half_precision_is_widened(case, objective):
    logits, labels, targets = case
    whole = objective(logits.bfloat16(), labels, targets)
    alone = torch.cat(
        [objective(logits[i : i + 1].bfloat16(), labels[i : i + 1], targets[i : i + 1]) for i in range(40)]
    )
    assert whole.dtype == torch.float32
    assert whole.shape == (40,)
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-6)


def test_dlr_is_blind_to_shift_and_scale_where_cross_entropy_goes_dead(case):
    logits, labels, targets = case
    labels = logits.argmax(1)
    for objective in (o.dlr, o.targeted_dlr):
        moved, still = objective(logits * 50 + 7, labels, targets), objective(logits, labels, targets)
        torch.testing.assert_close(moved, still, atol=1e-4, rtol=1e-4)
    confident = (logits * 300).requires_grad_()
    dead = torch.autograd.grad(o.cross_entropy(confident, labels, targets).sum(), confident)[0]
    alive = torch.autograd.grad(o.margin(confident, labels, targets).sum(), confident)[0]
    assert (dead.abs().amax(1) == 0).any()
    assert (alive.abs().amax(1) == 1).all()


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_too_few_classes_fall_back_to_the_margin(classes):
    logits = torch.tensor([[3.0, 1.0, -1.0, -2.0]])[:, :classes]
    zero, one = torch.tensor([0]), torch.tensor([1])
    dlr, reach = float(o.dlr(logits, zero, one)), float(o.targeted_dlr(logits, zero, one))
    assert dlr == pytest.approx(-2.0 if classes < 3 else -2.0 / 4.0)
    assert reach == pytest.approx(-2.0 if classes < 4 else -2.0 / (3.0 + 1.5))


def test_reached_agrees_with_argmax_and_never_trusts_a_broken_row():
    logits = torch.tensor([[1.0, 1.0], [0.0, 1.0], [float("nan"), 1.0], [0.0, float("inf")]])
    labels, targets = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    for targeted in (False, True):
        assert o.reached(logits, labels, targets, targeted=targeted).tolist() == [False, True, False, False]
