"""What docs/scaling.md says is what was measured, and the simulation behind it measures what it says."""

from __future__ import annotations

import json
import random

import pytest
from benchmarks import scaling
from benchmarks.makespan import START_SECONDS, ideal, lognormal, measure, spot, steady
from benchmarks.simulation import Nodes


def test_the_page_is_what_its_figures_give() -> None:
    figures = json.loads(scaling.FIGURES.read_text(encoding="utf-8"))
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.filled(page, figures) == page


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="scheduler:dispatch"):
        scaling.filled("# Scaling", {})


def test_the_ideal_spreads_the_work_over_the_slots_there_are() -> None:
    assert ideal(1000, 10, [Nodes(0, 10)]) == 100 + START_SECONDS
    assert ideal(1000, 500, [Nodes(0, 10)]) == 500 + START_SECONDS
    grows = [Nodes(0, 10), Nodes(50, 10)]
    assert ideal(1000, 10, grows) == pytest.approx(50 + START_SECONDS + 500 / 20)
    shrinks = [Nodes(0, 10), Nodes(60, -5)]
    assert ideal(1000, 10, shrinks) == pytest.approx(60 + (1000 - 10 * (60 - START_SECONDS)) / 5)


def test_no_run_is_faster_than_the_ideal_and_equal_shards_nearly_reach_it() -> None:
    equal = measure(64 * 100, lambda _: 60.0, steady(), 2)
    assert 0.99 < equal["share"] <= 1
    for nodes in (steady(), spot()):
        assert measure(3000, lognormal, nodes, 2)["share"] < 1


def test_the_times_have_the_mean_they_are_said_to_have() -> None:
    chance = random.Random(1)
    assert sum(lognormal(chance) for _ in range(20_000)) / 20_000 == pytest.approx(60, rel=0.03)
