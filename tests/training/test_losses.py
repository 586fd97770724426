"""Losses against closed forms, and against the papers' formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hardset.pipeline.training import losses

GENERATOR = np.random.default_rng(0)
CLEAN, ADVERSARIAL = GENERATOR.normal(size=(2, 16, 5)) * 3
LABELS = GENERATOR.integers(0, 5, 16)
AT = np.arange(16)


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


P, Q = softmax(CLEAN), softmax(ADVERSARIAL)
KL = (P * np.log(P / Q)).sum(axis=1)


def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(CLEAN), torch.from_numpy(ADVERSARIAL), torch.from_numpy(LABELS)


def test_uniform_logits_cost_the_logarithm_of_the_number_of_classes():
    logits, labels = torch.zeros(3, 7), torch.tensor([0, 3, 6])
    assert losses.cross_entropy(logits, labels, 0.3) == pytest.approx([np.log(7)] * 3)
    assert losses.divergence(logits, logits + 5) == pytest.approx([0.0] * 3, abs=1e-6)
    # -log 1/7 - log(1 - 1/7)
    assert losses.boosted_cross_entropy(logits, labels) == pytest.approx([np.log(7) - np.log(6 / 7)] * 3)


def test_smoothing_is_cross_entropy_with_softened_labels():
    clean, _, labels = tensors()
    soft = np.full((16, 5), 0.1 / 5)
    soft[AT, LABELS] += 0.9
    assert losses.cross_entropy(clean, labels, 0.1) == pytest.approx(-(soft * np.log(P)).sum(axis=1), rel=1e-5)


def test_trades_is_its_papers_formula():
    expected = -np.log(P[AT, LABELS]) + 6 * KL
    assert losses.trades(*tensors(), beta=6.0) == pytest.approx(expected, rel=1e-5)


def test_mart_is_its_papers_formula():
    rival = np.where(np.arange(5) == LABELS[:, None], -1, Q).max(axis=1)
    boosted = -np.log(Q[AT, LABELS]) - np.log(1 - rival)
    expected = boosted + 5 * KL * (1 - P[AT, LABELS])
    assert losses.mart(*tensors(), beta=5.0) == pytest.approx(expected, rel=1e-4)


def test_losses_of_saturated_rows_are_finite_and_have_finite_slopes():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    for label in (0, 1):
        loss = losses.mart(logits, logits, torch.tensor([label]), beta=5.0).sum()
        (slope,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss) and bool(torch.isfinite(slope).all())
