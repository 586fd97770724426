"""The judge against plain torch, its switches, and budgets against exact rational arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from hardset.pipeline.attacks.grid import l2_budget, linf_budget
from hardset.pipeline.judging.judge import Judge, deterministic, distances, finite_rows, verdict, within_budget
from hardset.pipeline.models.zoo import cifar_resnet20, small_cnn
from hardset.schemas.job.quantities import whole_levels, whole_squares

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends


def pixels(count: int, side: int = 8, channels: int = 1, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(small_cnn().eval().to(memory_format=torch.channels_last), 16, CPU)


# Logits.


@pytest.mark.parametrize("count", [1, 15, 16, 17, 48])
def test_logits_are_those_of_the_plain_model(judge: Judge, count: int) -> None:
    rows = pixels(count)
    with torch.no_grad():
        plain = judge.module(torch.tensor(rows).permute(0, 3, 1, 2).contiguous().float() / 255)
    found = judge.logits(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain.numpy(), atol=1e-5)


def test_colours_and_places_are_kept_apart() -> None:
    """A model that reads one value of the image back."""

    class Value(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack((images[:, 2, 1, 3], images[:, 0, 0, 1]), dim=1)

    rows = pixels(5, channels=3)
    expected = np.stack((rows[:, 1, 3, 2], rows[:, 0, 1, 0]), axis=1).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(Judge(Value(), 4, CPU).logits(rows), expected)


@pytest.mark.parametrize(("net", "side", "channels"), [(small_cnn, 8, 1), (cifar_resnet20, 32, 3)])
def test_a_row_is_judged_the_same_in_any_company_and_place(net: Any, side: int, channels: int) -> None:
    torch.manual_seed(0)
    judge = Judge(net().eval().to(memory_format=torch.channels_last), 16, CPU)
    rows = pixels(37, side, channels)
    whole = judge.logits(rows)
    np.testing.assert_array_equal(judge.logits(rows[:5]), whole[:5])
    np.testing.assert_array_equal(judge.logits(rows[36:]), whole[36:])
    order = np.random.default_rng(1).permutation(37)
    np.testing.assert_array_equal(judge.logits(rows[order]), whole[order])


def test_the_model_always_sees_the_full_batch() -> None:
    seen: list[tuple[int, ...]] = []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(tuple(images.shape))
            return images.flatten(1)

    for count in (1, 4, 5, 9):
        assert Judge(Spy(), 4, CPU).logits(pixels(count)).shape == (count, 64)
    assert set(seen) == {(4, 1, 8, 8)}
    assert Judge(Spy(), 4, CPU).verify_id == "fp32-tf32off-b4"


class Noisy(nn.Module):
    """Adds to each logit what it draws, and so is never the same."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10] + torch.randn(len(images), 10)


def test_a_stochastic_models_verdict_is_the_rows_own_and_can_be_had_again() -> None:
    judge, rows, state = Judge(Noisy(), 16, CPU, stochastic=True), pixels(20), torch.get_rng_state()
    found = judge.logits(rows)
    np.testing.assert_array_equal(judge.logits(rows[::-1].copy())[::-1], found)
    np.testing.assert_array_equal(judge.logits(rows[7:8])[0], found[7])
    assert torch.equal(torch.get_rng_state(), state)
    noise = found - rows.reshape(20, -1)[:, :10] / 255
    assert np.abs(noise).max() > 0.5, "nothing was drawn"
    assert judge.verify_id != Judge(Noisy(), 16, CPU).verify_id


def test_no_rows_give_no_verdicts(judge: Judge) -> None:
    found = verdict(judge.logits(pixels(0)), np.zeros(0, np.int64))
    assert found.pred.shape == found.margin.shape == found.confidence.shape == (0,)


# Switches.


PRECISE = (BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn)
PRECISE += (BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv, BACKENDS.mkldnn.rnn)


def switches() -> list[Any]:
    return [
        *(backend.fp32_precision for backend in PRECISE),
        legacy_precision(),
        BACKENDS.cudnn.benchmark,
        BACKENDS.cudnn.deterministic,
        torch.is_autocast_enabled("cpu"),
        torch.is_grad_enabled(),
    ]


def legacy_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # where it contradicts the newer switches
        return "contradictory"


class Witness(nn.Module):
    """Notes the switches it runs under, and fails where it is told to."""

    def __init__(self, failing: bool = False) -> None:
        super().__init__()
        self.failing = failing
        self.seen: list[Any] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen = switches()
        if self.failing:
            raise RuntimeError("broken")
        return images.flatten(1)


@pytest.fixture(params=["untouched", "fast", "bfloat16", "all tf32"])
def caller(request: pytest.FixtureRequest) -> Iterator[None]:
    """Global switches as a caller may have left them; before and after, torch's own defaults."""
    start_from_defaults()
    before = switches()
    if request.param == "fast":
        torch.set_float32_matmul_precision("high")
        BACKENDS.cudnn.benchmark = True
    elif request.param == "bfloat16":
        torch.set_float32_matmul_precision("medium")
    elif request.param == "all tf32":
        BACKENDS.fp32_precision = "tf32"
    yield
    start_from_defaults()
    assert switches() == before


def start_from_defaults() -> None:
    BACKENDS.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    for backend, precision in zip(PRECISE, ("none", "tf32", "tf32", "none", "none", "none"), strict=True):
        backend.fp32_precision = precision
    BACKENDS.cudnn.benchmark = BACKENDS.cudnn.deterministic = False


@pytest.mark.usefixtures("caller")
@pytest.mark.parametrize("failing", [False, True])
def test_the_reference_mode_holds_inside_and_is_gone_outside(failing: bool) -> None:
    witness, before = Witness(failing), switches()
    try:
        Judge(witness, 2, CPU).logits(pixels(3))
    except RuntimeError as error:
        assert str(error) == "broken"
    assert witness.seen == ["ieee"] * 6 + ["highest", False, True, False, False]
    assert switches() == before


@pytest.mark.usefixtures("caller")
def test_the_callers_switches_and_autocast_do_not_reach_the_verdict(judge: Judge) -> None:
    rows = pixels(20)
    expected = judge.logits(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(judge.logits(rows), expected)
        assert torch.is_autocast_enabled("cpu")


# Verdicts.

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(2, 6)), elements=st.floats(-80, 80, width=32))


@given(LOGITS, st.data())
def test_verdicts_are_those_of_torch(logits: Any, data: st.DataObject) -> None:
    count, classes = logits.shape
    labels = np.asarray(data.draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    found = verdict(logits, labels)
    softmax = torch.softmax(torch.tensor(logits).double(), dim=1).numpy()
    for row in range(count):
        others = [float(value) for j, value in enumerate(logits[row]) if j != labels[row]]
        assert found.margin[row] == np.float32(float(logits[row, labels[row]]) - max(others))
        assert found.pred[row] == logits[row].tolist().index(logits[row].max())
        np.testing.assert_allclose(found.confidence[row], softmax[row].max(), rtol=1e-6)
    assert (found.pred[found.margin > 0] == labels[found.margin > 0]).all()
    assert (found.pred[found.margin < 0] != labels[found.margin < 0]).all()
    assert (found.pred.dtype, found.margin.dtype, found.confidence.dtype) == (np.int64, np.float32, np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_have_no_verdict_and_take_no_neighbour_along(value: float) -> None:
    logits = np.asarray([[1, 2, 3], [4, 5, 6], [9, 8, 7]], np.float32)
    sound = verdict(logits, np.asarray([0, 1, 0]))
    logits[1, 2] = value
    found = verdict(logits, np.asarray([0, 1, 0]))
    np.testing.assert_array_equal(finite_rows(logits), [True, False, True])
    np.testing.assert_array_equal(found.pred, [2, -1, 0])
    np.testing.assert_array_equal(found.margin, [sound.margin[0], np.nan, sound.margin[2]])
    np.testing.assert_array_equal(np.isnan(found.confidence), [False, True, False])


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_classes_are_refused(label: int) -> None:
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        verdict(np.zeros((1, 3), np.float32), np.asarray([label]))


# Distances and budgets.

SHAPE = (3, 2, 2, 1)
IMAGES = arrays(np.uint8, SHAPE)
EPS = st.fractions(0, 2, max_denominator=500)


def exact(stored: Any, clean: Any) -> list[tuple[int, int, int]]:
    """Largest change, sum of squares and sum of changes of each row, in Python's integers."""
    changes = [
        [int(a) - int(b) for a, b in zip(s.flat, c.flat, strict=True)] for s, c in zip(stored, clean, strict=True)
    ]
    return [(max(map(abs, row)), sum(change**2 for change in row), sum(map(abs, row))) for row in changes]


@given(IMAGES, IMAGES)
def test_distances_are_exact(stored: Any, clean: Any) -> None:
    levels, l2, l1 = distances(stored, clean)
    expected = exact(stored, clean)
    assert (levels.dtype, l2.dtype, l1.dtype) == (np.int32, np.float32, np.float32)
    assert levels.tolist() == [largest for largest, _, _ in expected]
    np.testing.assert_allclose(l2, [np.sqrt(squares) / 255 for _, squares, _ in expected], rtol=1e-6)
    np.testing.assert_allclose(l1, [total / 255 for _, _, total in expected], rtol=1e-6)


@given(IMAGES, IMAGES, st.lists(EPS | st.fractions(0, 4, max_denominator=255), min_size=3, max_size=3))
def test_budgets_are_those_of_rational_arithmetic(stored: Any, clean: Any, eps: list[Fraction]) -> None:
    amounts = np.asarray([float(value) for value in eps])
    expected = exact(stored, clean)
    linf = [largest <= value * 255 for (largest, _, _), value in zip(expected, eps, strict=True)]
    l2 = [squares <= (value * 255) ** 2 for (_, squares, _), value in zip(expected, eps, strict=True)]
    l1 = [total <= value * 255 for (_, _, total), value in zip(expected, eps, strict=True)]
    assert within_budget(stored, clean, "linf", amounts).tolist() == linf
    assert within_budget(stored, clean, "l2", amounts).tolist() == l2
    assert within_budget(stored, clean, "l1", amounts).tolist() == l1


@given(st.integers(0, 254), st.integers(-1, 1), st.booleans())
def test_a_level_too_many_is_caught_at_every_budget(levels: int, off: int, darker: bool) -> None:
    change = max(levels + off, 0)
    base = 255 if darker else 0
    clean = np.full((1, 4, 4, 3), base, np.uint8)
    stored = clean.copy()
    stored[0, 3, 3, 2] = abs(base - change)
    for norm in ("linf", "l2", "l1"):
        assert within_budget(stored, clean, norm, np.asarray([levels / 255])).item() == (change <= levels)


@pytest.mark.parametrize(("eps", "levels"), [(0.3, 76), (0.03, 7), (0.5 / 255, 0), (8 / 255, 8), (0.0, 0), (1.0, 255)])
def test_budgets_between_levels_are_rounded_down(eps: float, levels: int) -> None:
    clean, stored = np.zeros((1, 1, 1, 1), np.uint8), np.full((1, 1, 1, 1), levels, np.uint8)
    assert within_budget(stored, clean, "linf", np.asarray([eps])).item()
    if levels < 255:
        assert not within_budget(stored + 1, clean, "linf", np.asarray([eps])).item()


@given(st.lists(st.integers(0, 255), min_size=4, max_size=4))
def test_a_row_as_long_as_its_budget_is_inside_in_spite_of_rounding(changes: list[int]) -> None:
    clean = np.zeros((1, 2, 2, 1), np.uint8)
    stored = np.reshape(changes, clean.shape).astype(np.uint8)
    squares = sum(change**2 for change in changes)
    assert within_budget(stored, clean, "l2", np.asarray([np.sqrt(squares) / 255])).item()
    if squares:
        assert not within_budget(stored, clean, "l2", np.asarray([np.sqrt(squares - 0.01) / 255])).item()


@given(st.lists(st.integers(0, 255), min_size=4, max_size=4), st.integers(-1, 1))
def test_an_l1_budget_counts_the_levels_of_all_values(changes: list[int], spare: int) -> None:
    clean = np.zeros((1, 2, 2, 1), np.uint8)
    stored = np.reshape(changes, clean.shape).astype(np.uint8)
    allowed = max(sum(changes) + spare, 0)
    for one, other in ((stored, clean), (clean, stored)):
        assert within_budget(one, other, "l1", np.asarray([allowed / 255])).item() == (sum(changes) <= allowed)


@given(st.lists(st.floats(0, 1), max_size=20), st.lists(st.floats(0, 400), max_size=20))
def test_attacks_spend_what_the_judge_allows(linf: list[float], l2: list[float]) -> None:
    assert linf_budget(np.asarray(linf, np.float64)).tolist() == [whole_levels(eps) for eps in linf]
    assert l2_budget(np.asarray(l2, np.float64)).tolist() == [whole_squares(eps) for eps in l2]


def test_photographs_overflow_nothing() -> None:
    clean, stored = np.zeros((1, 512, 512, 3), np.uint8), np.full((1, 512, 512, 3), 255, np.uint8)
    full = np.sqrt(clean.size)
    assert distances(stored, clean)[1].item() == pytest.approx(full, rel=1e-6)
    assert distances(stored, clean)[2].item() == clean.size
    assert within_budget(stored, clean, "l1", np.asarray([float(clean.size)])).item()
    assert not within_budget(stored, clean, "l1", np.asarray([clean.size - 1 / 255])).item()
    assert within_budget(stored, clean, "l2", np.asarray([full * (1 + 1e-12)])).item()
    assert not within_budget(stored, clean, "l2", np.asarray([full * (1 - 1e-11)])).item()


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        distances(pixels(2), pixels(3))
    with pytest.raises(ValueError, match="norm must be linf, l2, l1 or l0, got 'l3'"):
        within_budget(pixels(2), pixels(2), "l3", np.ones(2))


# Success.


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_an_accelerators_kernels_are_deterministic_inside_and_as_they_were_outside(before, strict) -> None:
    def told() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    start = told()
    try:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        with pytest.raises(KeyError), deterministic(torch.device("cuda"), strict=strict):
            assert told() == (True, not strict)
            assert (BACKENDS.cudnn.deterministic, BACKENDS.cudnn.benchmark) == (True, False)
            raise KeyError
        assert told() == before
    finally:
        torch.use_deterministic_algorithms(start[0], warn_only=start[1])
