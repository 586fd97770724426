"""What `make mutants` needs and says: its tests exist, its bound is one, its page is that of its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from benchmarks.mutants import page
from benchmarks.mutants.rooms import ROOMS, Room
from scipy.stats import binom

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
def test_every_module_has_tests_that_it_meets_first(room: Room) -> None:
    files = list(room.files(ROOT))
    assert files
    assert [file for file in files if not room.nearest_tests(ROOT, file)] == []
    tests = {test for file in files for test in room.nearest_tests(ROOT, file)}
    assert [test for test in (*tests, *room.tests) if not (ROOT / test).exists()] == []
    assert set(room.nearest) <= {Path(file).stem for file in files}


@pytest.mark.parametrize(("killed", "survived", "late", "waiting"), [(380, 20, 0, 0), (90, 6, 4, 300), (5, 0, 0, 0)])
def test_a_share_as_low_as_the_bound_would_hardly_give_so_many(killed, survived, late, waiting) -> None:
    outcomes = {"killed": killed, "survived": survived, "timed out": late, "not run": waiting}
    mutants = [{"outcome": outcome} for outcome, count in outcomes.items() for _ in range(count)]
    told, tried, bound = page.killed_share(mutants)
    assert (told, tried) == (killed, killed + survived + late)
    assert binom.sf(killed - 1, tried, bound) == pytest.approx(0.05, abs=1e-9)


def test_the_page_is_what_its_figures_give() -> None:
    assert page.of(page.FIGURES) == page.PAGE.read_text(encoding="utf-8")


def test_reasons_are_given_for_survivors_alone() -> None:
    mutants = json.loads(page.FIGURES.read_text(encoding="utf-8"))["mutants"]
    survivors = {mutant["key"] for mutant in mutants if mutant["outcome"] in ("survived", "timed out")}
    assert set(yaml.safe_load(page.REASONS.read_text(encoding="utf-8")) or {}) <= survivors
