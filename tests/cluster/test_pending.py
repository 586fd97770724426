"""What becomes of one shard, fault by fault, counted exactly: how often it is tried, searched, and given up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.simulation import shards

from hardset.pipeline.cluster.bisection import Bisection
from hardset.pipeline.cluster.pending import FailedTry, PendingShard, Rules, after_fault, after_pass
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import Failure

SHARD = shards(2, rows=8)[1]  # rows 8 to 15
RULES = Rules(max_attempts=3)
RAISED = FailedTry("raised", "ValueError", "no")
DIED, STUCK, NODE_LOST = (FailedTry(kind, "WorkerDied", "gone") for kind in ("died", "stuck", "node lost"))


def fresh(**changes: object) -> PendingShard:
    return replace(PendingShard(SHARD), **changes)  # type: ignore[arg-type]


def faults_until(end, fault: FailedTry, rules: Rules = RULES, **changes: object) -> int:
    """Number of equal faults after which `end` holds of a fresh shard."""
    work, count = fresh(**changes), 0
    while not end(work):
        work, count = after_fault(work, fault, rules), count + 1
    return count


def test_a_shard_is_searched_after_as_many_attempts_as_the_job_allows():
    assert faults_until(lambda work: work.search is not None, RAISED) == 3
    searched = after_fault(fresh(attempts=2, patience_spent=2), RAISED, RULES)
    assert searched == fresh(attempts=3, patience_spent=3, alone=True, search=Bisection(8, 16))
    assert searched.span == (8, 12)


def test_without_searches_it_fails_instead():
    told = after_fault(fresh(attempts=2, patience_spent=2), RAISED, Rules(3, search=False))
    assert told == Failure(index=1, key=SHARD.key, attempts=3, error="ValueError: no")
    told = after_fault(fresh(attempts=2, patience_spent=2), replace(RAISED, message="x" * 900), Rules(3, search=False))
    assert isinstance(told, Failure) and told.error == "ValueError: " + "x" * 488


def test_storage_is_asked_as_often_and_a_fault_of_the_job_once():
    refused = FailedTry("raised", "RunError", "disk full", RunError("disk full"))
    work = fresh()
    for refusals in (1, 2):
        work = after_fault(work, refused, RULES)
        assert work == fresh(refusals=refusals)
    with pytest.raises(RunError, match="disk full"):
        after_fault(work, refused, RULES)
    with pytest.raises(JobError, match="no such model"):
        after_fault(fresh(), FailedTry("raised", "JobError", "", JobError("no such model")), RULES)


def test_fifty_nodes_may_go_away_before_a_shard_is_charged_and_suspected():
    assert faults_until(lambda work: work.attempts > 0, NODE_LOST) == 51
    assert after_fault(fresh(nodes_lost=49), NODE_LOST, RULES) == fresh(nodes_lost=50)
    assert after_fault(fresh(nodes_lost=50), NODE_LOST, RULES) == fresh(
        nodes_lost=50, alone=True, attempts=1, patience_spent=1
    )


def test_who_dies_in_company_is_suspected_and_not_charged():
    assert after_fault(fresh(), DIED, RULES, company=1) == fresh(alone=True)
    assert after_fault(fresh(), DIED, RULES) == fresh(alone=True, attempts=1, patience_spent=1)
    assert after_fault(fresh(), RAISED, RULES, company=1) == fresh(attempts=1, patience_spent=1)


def test_a_shard_that_is_stuck_is_overdue_once_more_and_a_probe_is_not():
    assert after_fault(fresh(overdue=1), STUCK, RULES, company=2) == fresh(overdue=2, alone=True)
    probe = after_fault(fresh(search=Bisection(8, 16)), STUCK, RULES)
    assert probe == fresh(alone=True, search=Bisection(8, 12))
    assert after_fault(fresh(), DIED, RULES).overdue == 0  # type: ignore[union-attr]


def test_a_row_is_bad_once_it_has_failed_twice_by_itself():
    work = after_fault(fresh(search=Bisection(8, 9)), RAISED, RULES)
    assert work == fresh(search=Bisection(8, 9, failures=1))
    work = after_fault(work, replace(RAISED, message="y" * 300), RULES)
    (bad,) = work.bad
    assert (bad.row, bad.error_class, bad.message) == (8, "ValueError", "y" * 200)
    assert work == fresh(bad=(bad,), cleared=9)


@pytest.mark.parametrize("row", range(8, 16))
def test_the_bad_row_is_found_by_halves(row):
    work, probes = fresh(search=Bisection(8, 16)), 0
    while work.search is not None:
        start, stop = work.span
        assert start < stop
        work = after_fault(work, RAISED, RULES) if start <= row < stop else after_pass(work)
        probes += 1
    assert [bad.row for bad in work.bad] == [row] and work.cleared == row + 1
    assert probes == 3 + 2  # halves of eight, and twice by itself
    assert work.attempts == 0 and work.searches_in_vain == 0


def test_a_search_in_vain_clears_what_it_saw_and_gives_new_patience():
    work = fresh(attempts=3, patience_spent=3, search=Bisection(8, 16))
    while work.search is not None:
        work = after_pass(work)
    assert work == fresh(attempts=3, cleared=16, searches_in_vain=1)
    assert after_pass(work) == work
    work = fresh(searches_in_vain=1, search=Bisection(11, 12))
    assert after_pass(work) == fresh(searches_in_vain=2, cleared=12)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"searches_in_vain": 4, "cleared": 9}, "; no row of it fails by itself"),
        ({"searches_in_vain": 5, "cleared": 9}, "; no row of it fails by itself"),
        ({"cleared": 16}, "; no row of it fails by itself"),
        ({"bad": ("row",) * 8, "cleared": 15}, "; more than 8 of its rows fail"),
        ({"bad": ("row",) * 9, "cleared": 15}, "; more than 8 of its rows fail"),
    ],
)
def test_a_shard_is_given_up_when_searching_on_is_no_use(changes, why):
    told = after_fault(fresh(patience_spent=2, attempts=6, **changes), RAISED, RULES)
    assert told == Failure(index=1, key=SHARD.key, attempts=7, error=f"ValueError: no{why}")


@pytest.mark.parametrize("changes", [{"searches_in_vain": 3}, {"bad": ("row",) * 7}, {"cleared": 15}])
def test_until_then_the_search_goes_on_behind_what_is_cleared(changes):
    work = after_fault(fresh(patience_spent=2, **changes), RAISED, RULES)
    assert isinstance(work, PendingShard) and work.search == Bisection(changes.get("cleared", 8), 16)


def test_a_shard_of_many_rows_needs_few_probes():
    search, probes = Bisection(0, 2048), 0
    while search is not None:
        search, probes = search.passed(), probes + 1
    assert probes == 12
