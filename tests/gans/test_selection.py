"""The best checkpoint is kept, and no candidate for it is thrown away too early."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.gans.selection import Measure, best, candidates


def measures(*pairs: tuple[float, float]) -> list[Measure]:
    return [Measure(step=10 * (n + 1), distance=d, recall=r) for n, (d, r) in enumerate(pairs)]


def test_the_lowest_distance_wins_not_the_last() -> None:
    assert best(measures((9, 0.8), (4, 0.8), (6, 0.8))).step == 20


def test_a_low_distance_with_less_than_nine_tenths_of_the_best_recall_does_not_count() -> None:
    assert best(measures((9, 1.0), (1, 0.89), (4, 0.9))).step == 30


def test_the_later_of_equals_wins() -> None:
    found = measures((4, 0.8), (4, 0.8))
    assert best(found).step == 20 and [one.step for one in candidates(found)] == [20]


def test_of_equal_distances_the_higher_recall_wins() -> None:
    assert best(measures((4, 0.8), (4, 0.75))).step == 10


few = st.sampled_from([0.0, 0.5, 0.85, 0.9, 0.95, 1.0])
pairs = st.lists(st.tuples(few, few), min_size=1, max_size=8)


@given(pairs, st.data())
def test_whatever_comes_later_the_best_is_a_candidate_or_new(
    drawn: list[tuple[float, float]], data: st.DataObject
) -> None:
    found = measures(*drawn)
    now = data.draw(st.integers(1, len(found)))
    kept = candidates(found[:now])
    assert best(found) in [*kept, *found[now:]]
    assert len(kept) <= now


@given(pairs)
def test_no_candidate_is_beaten_in_both_figures(drawn: list[tuple[float, float]]) -> None:
    kept = candidates(measures(*drawn))
    assert kept
    for one in kept:
        assert not any(other.distance < one.distance and other.recall > one.recall for other in kept)
