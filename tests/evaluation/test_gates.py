"""Gates let pass what reaches them and tell by how much the rest falls short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.evaluation.gates import Gate, failures, parse_gates, regressions
from hardset.pipeline.statistics.shares import share
from hardset.schemas.errors import JobError

KNOWN = ("robust", "clean", "hardened:robust")
SHARES = st.floats(0, 1)


def test_gates_are_read_as_shares_or_percentages():
    assert parse_gates(["robust=0.45", " clean=95% ", "hardened:robust=.5", "robust=1e-2"], KNOWN) == (
        Gate("robust", 0.45),
        Gate("clean", 0.95),
        Gate("hardened:robust", 0.5),
        Gate("robust", 0.01),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("robust", "wants FIGURE=LEAST, such as robust=0.45"),
        ("robust=much", "wants FIGURE=LEAST"),
        ("robust=-0.1", "wants FIGURE=LEAST"),
        ("robuts=0.4", "there is no figure robuts; wants one of: robust, clean, hardened:robust"),
        ("robust=45", "got 45; wants a share from 0 to 1, or a percentage"),
        ("robust=145%", "got 1.45; wants a share"),
    ],
)
def test_what_is_no_gate_is_refused_in_one_sentence(text, told):
    with pytest.raises(JobError, match="--fail-under") as error:
        parse_gates([text], KNOWN)
    assert told in str(error.value)


def test_failures_tell_the_figures():
    figures = {"robust": 0.444, "clean": 0.95}
    assert failures(figures, [Gate("robust", 0.45), Gate("clean", 0.95)]) == [
        "robust is 44.4 %, below the 45.0 % that is asked for"
    ]


def test_regressions_tell_both_figures():
    assert regressions({"robust": 0.40, "clean": 0.95}, {"robust": 0.45, "clean": 0.94, "shift": 0.9}, 0.01) == [
        "robust is 40.0 %, and was 45.0 %: a fall of 5.0 points, where 1 are allowed"
    ]
    with pytest.raises(JobError, match="none of the figures; it has shift, and here are robust"):
        regressions({"robust": 0.4}, {"shift": 0.9}, 0.01)


@given(SHARES, SHARES, SHARES)
def test_a_gate_fails_exactly_below_it(value, least, tolerance):
    assert bool(failures({"robust": value}, [Gate("robust", least)])) == (value < least)
    fell = bool(regressions({"robust": value}, {"robust": least}, tolerance))
    assert fell == (least - value > tolerance + 1e-9)
    assert not regressions({"robust": value}, {"robust": value}, 0.0)


# Wilson's interval worked out by hand (Brown, Cai and DasGupta 2001, formula 4).
@pytest.mark.parametrize("rows, of", [(0, 30), (30, 30), (1, 597), (300, 597), (7, 8)])
def test_shares_carry_wilsons_interval(rows, of):
    z, p = 1.959963984540054, rows / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * (p * (1 - p) / of + z * z / (4 * of * of)) ** 0.5
    found = share(rows, of)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-12)
    assert found.low <= found.value <= found.high
    assert found.low >= 0
    assert found.high <= 1


def test_no_rows_say_nothing():
    nothing = share(0, 0)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 1)
