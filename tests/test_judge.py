"""The judge against plain torch, and the budgets against every off-by-one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.judge import Judge, distances, succeeded, verdict, within_budget
from pipeline.models.zoo import small_cnn

CPU = torch.device("cpu")
GENERATOR = np.random.default_rng(0)


def test_logits_are_those_of_the_plain_model_and_padding_changes_nothing() -> None:
    module = small_cnn().eval()
    pixels = GENERATOR.integers(0, 256, (37, 8, 8, 1), dtype=np.uint8)
    with torch.no_grad():
        plain = module(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()
    judged = Judge(module, 16, CPU).logits(pixels)
    np.testing.assert_allclose(judged, plain, atol=1e-5)
    np.testing.assert_array_equal(Judge(module, 16, CPU).logits(pixels[:5]), judged[:5])


def test_autocast_of_the_caller_does_not_reach_the_verdict() -> None:
    module, pixels = small_cnn().eval(), GENERATOR.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    judge = Judge(module, 4, CPU)
    expected = judge.logits(pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(judge.logits(pixels), expected)


def test_global_flags_are_put_back_after_an_exception() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken")

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with pytest.raises(RuntimeError, match="broken"):
        Judge(Broken(), 2, CPU).logits(np.zeros((1, 8, 8, 1), np.uint8))
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_verdict_against_torch() -> None:
    logits = GENERATOR.normal(size=(50, 6)).astype(np.float32) * 5
    labels = GENERATOR.integers(0, 6, 50)
    found, reference = verdict(logits, labels), torch.softmax(torch.from_numpy(logits), 1)
    np.testing.assert_array_equal(found.pred, reference.argmax(1))
    np.testing.assert_allclose(found.confidence, reference.max(1).values, rtol=1e-5)
    np.testing.assert_array_equal(found.margin < 0, found.pred != labels)


@given(st.integers(0, 255), st.integers(1, 60), st.integers(-1, 1))
def test_linf_budget_is_exact_to_the_level(base: int, levels: int, off: int) -> None:
    change = levels + off
    moved = base + change if base + change <= 255 else base - change
    if not 0 <= moved <= 255:
        return
    clean = np.full((1, 2, 2, 1), base, np.uint8)
    stored = clean.copy()
    stored[0, 0, 0, 0] = moved
    inside = within_budget(stored, clean, "linf", np.array([levels / 255]))[0]
    assert inside == (change <= levels)
    assert distances(stored, clean)[0][0] == change


def test_budgets_between_levels_are_rounded_down() -> None:
    clean, stored = np.zeros((1, 1, 1, 1), np.uint8), np.full((1, 1, 1, 1), 77, np.uint8)
    assert not within_budget(stored, clean, "linf", np.array([0.3]))[0]
    assert within_budget(stored - 1, clean, "linf", np.array([0.3]))[0]


@given(st.lists(st.integers(-90, 90), min_size=4, max_size=4))
def test_l2_budget_is_exact(changes: list[int]) -> None:
    clean = np.full((1, 2, 2, 1), 100, np.uint8)
    stored = (clean.astype(int) + np.reshape(changes, (1, 2, 2, 1))).astype(np.uint8)
    squared = sum(change * change for change in changes)
    eps = np.array([np.sqrt(squared) / 255])
    assert within_budget(stored, clean, "l2", eps)[0]
    if squared:
        assert not within_budget(stored, clean, "l2", np.array([np.sqrt(squared - 1) / 255]))[0]
    assert distances(stored, clean)[1][0] == pytest.approx(eps[0], rel=1e-6)


def test_success_counts_only_rows_that_were_right_and_targets_that_were_reached() -> None:
    labels, clean, pred = np.array([1, 1, 1]), np.array([1, 1, 2]), np.array([1, 0, 0])
    np.testing.assert_array_equal(succeeded(clean, pred, labels), [False, True, False])
    np.testing.assert_array_equal(succeeded(clean, pred, labels, np.array([0, 0, 2])), [False, True, False])
