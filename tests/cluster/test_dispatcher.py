"""The dispatcher behind a simulated cluster: every shard ends once, whatever happens to actors and nodes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.simulation import Nodes, SimulatedCluster, made, shards
from hypothesis import given, settings
from hypothesis import strategies as st

from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.dispatcher import MOST_GIVEN_UP, Dispatcher
from hardset.pipeline.cluster.messages import Died, Order, Raised, Ready, Result
from hardset.pipeline.cluster.pending import MAX_BAD_ROWS
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Run
from hardset.schemas.records.run import Failure, Receipt, Shard

ROWS = 100
Outcome = Callable[[Order], Result]
FOREVER = [Nodes(0, 4)]


def ended(dispatcher: Dispatcher, work: list[Shard]) -> dict[int, Receipt | Failure]:
    """What became of each shard, by index."""
    results = list(dispatcher.run(work))
    indices = [result.index for result in results]
    assert len(indices) == len(set(indices)), "a shard ended twice"
    return {result.index: result for result in results}


def dispatch(cluster: SimulatedCluster, number: int = 20, **run: Any) -> dict[int, Receipt | Failure]:
    """Runs shards on a cluster; all of them end."""
    results = ended(Dispatcher(Run.model_validate(run), (), Stop(), cluster), shards(number, ROWS))
    assert sorted(results) == list(range(number))
    return results


def poison(rows: set[int], worst: Result) -> Outcome:
    """Orders that make one of `rows` end in `worst`."""

    def outcome(order: Order) -> Result:
        bad = rows.intersection(range(order.shard.start, order.shard.stop)) - {bad.row for bad in order.bad}
        return worst if bad else made(order)

    return outcome


WORST = {"killed": Died("killed by signal 9"), "raised": Raised("ValueError", "not this row")}


@pytest.mark.parametrize("worst", WORST)
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("rows", [{0}, {1999}, {730, 731, 799}, {50, 150, 250}], ids=str)
def test_the_bad_rows_are_found_and_no_other_is_lost(worst: str, depth: int, rows: set[int]) -> None:
    cluster = SimulatedCluster(FOREVER, lambda _: 1.0, poison(rows, WORST[worst]))
    results = dispatch(cluster, actors=4, shards_per_actor=depth)
    assert all(isinstance(result, Receipt) for result in results.values())
    assert {row for result in results.values() for row in result.excluded} == rows  # type: ignore[union-attr]


def test_a_shard_with_too_many_bad_rows_fails_and_says_so() -> None:
    rows = set(range(300, 300 + MAX_BAD_ROWS + 1))
    results = dispatch(SimulatedCluster(FOREVER, lambda _: 1.0, poison(rows, WORST["killed"])))
    failed = [result for result in results.values() if isinstance(result, Failure)]
    assert [failure.index for failure in failed] == [3]
    assert failed[0].error == "WorkerDied: killed by signal 9; more than 8 of its rows fail"


def test_a_shard_that_fails_as_a_whole_only_is_given_up_and_says_so() -> None:
    def outcome(order: Order) -> Result:
        return Died("out of memory") if order.shard.start == 500 and order.shard.rows > 60 else made(order)

    results = dispatch(SimulatedCluster(FOREVER, lambda _: 1.0, outcome), max_attempts=2)
    assert {i for i, result in results.items() if isinstance(result, Failure)} == {5}
    assert results[5].error == "WorkerDied: out of memory; no row of it fails by itself"  # type: ignore[union-attr]


def test_when_nothing_can_be_made_the_search_for_rows_ends_soon() -> None:
    cluster = SimulatedCluster(FOREVER, lambda _: 1.0, lambda _: Raised("TypeError", "a bug"))
    dispatcher = Dispatcher(Run(actors=4), (), Stop(), cluster)
    results = ended(dispatcher, shards(200, ROWS))
    assert all(isinstance(result, Failure) for result in results.values())
    assert dispatcher.tally().probes < 1000


@pytest.mark.parametrize(("good", "searched"), [(0, 1), (1, MOST_GIVEN_UP)])
def test_few_shards_are_searched_where_most_fail_as_a_whole(good: int, searched: int) -> None:
    """One until something was made: then it is the job that fails. And not many after that."""
    probed: set[int] = set()

    def outcome(order: Order) -> Result:
        if order.shard.index < good:
            return made(order)
        if order.probe:
            probed.add(order.shard.index)
        return WORST["raised"]

    results = dispatch(SimulatedCluster([Nodes(0, 1)], lambda _: 1.0, outcome), actors=1, shards_per_actor=1)
    assert sum(isinstance(result, Failure) for result in results.values()) == 20 - good
    assert len(probed) == searched


def test_whoever_was_in_the_same_hands_is_not_charged() -> None:
    """One shard kills its worker at first; with one try per shard its companions would fail if they were charged."""
    tries: dict[int, int] = {}

    def outcome(order: Order) -> Result:
        tries[order.shard.index] = tries.get(order.shard.index, 0) + 1
        return Died("boom") if order.shard.index == 6 and tries[6] == 1 else made(order)

    results = dispatch(SimulatedCluster([Nodes(0, 2)], lambda _: 1.0, outcome), max_attempts=1, shards_per_actor=3)
    assert all(isinstance(result, Receipt) for result in results.values())


def test_a_suspect_is_alone_in_its_actor() -> None:
    """While a shard that may kill its worker runs, that actor has nothing else in hand."""
    cluster = SimulatedCluster([Nodes(0, 1)], lambda _: 1.0, poison({630}, WORST["killed"]))
    company: list[int] = []
    send = cluster.send

    def spy(actor: int, order: Order) -> int:
        ticket = send(actor, order)
        orders = [order for _, order in cluster._actors[actor].orders]
        if any(order.attempt > 1 or order.probe for order in orders):
            company.append(len(orders))
        return ticket

    cluster.send = spy  # type: ignore[method-assign]
    dispatch(cluster, actors=1, shards_per_actor=3)
    assert company
    assert set(company) == {1}


def test_actors_that_come_late_are_used_and_those_that_go_are_made_do_without() -> None:
    nodes = [Nodes(0, 1), Nodes(10, 3), Nodes(20, -2), Nodes(30, 6)]
    cluster = SimulatedCluster(nodes, lambda _: 1.0, start_seconds=2)
    results = dispatch(cluster, 200, actors={"min": 1, "max": 8})
    assert all(isinstance(result, Receipt) for result in results.values())
    assert 200 / 8 < cluster.now() < 60


def test_losing_nodes_costs_no_attempt() -> None:
    nodes = [Nodes(0.5 + 2 * i, change) for i in range(40) for change in (2, -2)]
    nodes = [Nodes(item.at + (item.slots < 0), item.slots) for item in nodes] + [Nodes(100, 2)]
    results = dispatch(SimulatedCluster(nodes, lambda _: 1.5), 4, max_attempts=1)
    assert all(isinstance(result, Receipt) for result in results.values())


def test_surplus_actors_are_given_back_before_the_end() -> None:
    left: list[int] = []

    def outcome(order: Order) -> Result:
        if order.shard.index == 0:
            left.append(len(cluster._actors))
        return made(order)

    cluster = SimulatedCluster([Nodes(0, 8)], lambda order: 0.0 if order.shard.index else 100.0, outcome)
    dispatch(cluster, 20, actors=8, shards_per_actor=1)
    assert left == [1]


def test_at_the_end_nothing_waits_behind_a_long_shard() -> None:
    cluster = SimulatedCluster([Nodes(0, 2)], lambda order: 50.0 if order.shard.index == 4 else 1.0)
    dispatch(cluster, 6, actors=2, shards_per_actor=3)
    assert cluster.now() < 54


def test_no_actor_ever_is_an_error_that_says_what_is_missing() -> None:
    said: list[str] = []
    run = Run(actors=2, start_minutes=5)
    dispatcher = Dispatcher(run, (), Stop(), SimulatedCluster([], lambda _: 1.0), tell=said.append)
    with pytest.raises(RunError, match=r"no worker in 5 minutes: the cluster has 0 free slots; add nodes, or change"):
        list(dispatcher.run(shards(3)))
    assert said == ["waiting for workers: the cluster has 0 free slots"]


def test_fewer_actors_than_the_job_calls_for_is_an_error_too() -> None:
    cluster = SimulatedCluster([Nodes(0, 1)], lambda _: 1000.0)
    run = Run.model_validate({"actors": {"min": 2, "max": 4}, "start_minutes": 5})
    with pytest.raises(RunError, match="1 of 2 workers in 5 minutes"):
        list(Dispatcher(run, (), Stop(), cluster).run(shards(3)))


def test_what_an_actor_meets_while_it_starts_is_told_at_once() -> None:
    for error in (JobError("model.factory: no such module"), RunError("weights: changed since the run was planned")):
        cluster = SimulatedCluster(
            FOREVER, lambda _: 1.0, start_outcome=lambda _, error=error: Raised("E", str(error), error)
        )
        with pytest.raises(type(error), match=str(error)):
            dispatch(cluster)
        assert cluster.now() == 0


def test_starts_that_fail_end_the_run_unless_others_work() -> None:
    bug = Raised("ImportError", "no module named bug")
    with pytest.raises(RunError, match="3 workers failed while they started; the last: ImportError: no module named"):
        dispatch(SimulatedCluster(FOREVER, lambda _: 1.0, start_outcome=lambda _: bug))
    half = SimulatedCluster(FOREVER, lambda _: 1.0, start_outcome=lambda actor: bug if actor % 2 else Ready())
    assert all(isinstance(result, Receipt) for result in dispatch(half).values())


def test_storage_that_refuses_ends_the_run_after_some_tries() -> None:
    refused = Raised("RunError", "disk full", RunError("disk full"))
    cluster = SimulatedCluster(FOREVER, lambda _: 1.0, lambda order: refused if order.shard.index == 3 else made(order))
    with pytest.raises(RunError, match="disk full"):
        dispatch(cluster)


def test_a_stuck_shard_is_made_elsewhere() -> None:
    tries: dict[int, int] = {}

    def seconds(order: Order) -> float | None:
        tries[order.shard.index] = tries.get(order.shard.index, 0) + 1
        return None if order.shard.index == 7 and tries[7] == 1 else 60.0

    cluster = SimulatedCluster(FOREVER, seconds)
    dispatcher = Dispatcher(Run(actors=4), (), Stop(), cluster)
    results = ended(dispatcher, shards(20, ROWS))
    assert all(isinstance(result, Receipt) for result in results.values())
    assert dispatcher.tally().abandoned == 1
    assert cluster.now() < 30 * 60


def test_a_row_that_hangs_goes_to_quarantine() -> None:
    def seconds(order: Order) -> float | None:
        hangs = 730 in range(order.shard.start, order.shard.stop) and all(bad.row != 730 for bad in order.bad)
        return None if hangs else 1.0

    results = dispatch(SimulatedCluster(FOREVER, seconds), shard_minutes=5)
    assert results[7].excluded == (730,)  # type: ignore[union-attr]


def test_a_slow_shard_is_given_more_time_at_each_try() -> None:
    cluster = SimulatedCluster(FOREVER, lambda order: 3000.0 if order.shard.index == 11 else 10.0)
    assert all(isinstance(result, Receipt) for result in dispatch(cluster, 40, max_attempts=4).values())


def test_a_request_to_stop_lets_the_shards_in_hand_finish() -> None:
    stop = Stop()
    cluster = SimulatedCluster(FOREVER, lambda _: 10.0)
    dispatcher = Dispatcher(Run(actors=4, shards_per_actor=2), (), stop, cluster)
    done = []
    for result in dispatcher.run(shards(100)):
        done.append(result)
        stop.set()
    assert 4 <= len(done) <= 12
    assert dispatcher.tally().shards_in_hand == 0


def test_shards_in_hand_are_dropped_once_their_time_is_over() -> None:
    stop = Stop()
    dispatcher = Dispatcher(Run(actors=4), (), stop, SimulatedCluster(FOREVER, lambda _: 10.0))
    for _ in dispatcher.run(shards(100)):
        stop.ask(0)
    assert dispatcher.tally().shards_in_hand > 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_shard_ends_once_in_any_weather(data: st.DataObject) -> None:
    """Nodes come and go, workers die by chance, rows are poison: nothing is lost, made twice, or waited for in vain."""
    number = data.draw(st.integers(1, 60))
    rows = set(data.draw(st.lists(st.integers(0, number * ROWS - 1), max_size=3)))
    changes = data.draw(st.lists(st.tuples(st.integers(1, 300), st.integers(-3, 4)), max_size=12))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    deaths = data.draw(st.integers(0, 3))
    worst = poison(rows, WORST[data.draw(st.sampled_from(sorted(WORST)))])

    def outcome(order: Order) -> Result:
        nonlocal deaths
        if deaths and chance.random() < 0.1:
            deaths -= 1
            return Died("by chance")
        return worst(order)

    slots, nodes = 2, [Nodes(0, 2)]
    for at, change in sorted(changes):
        nodes.append(Nodes(at, max(change, -slots)))
        slots += nodes[-1].slots
    cluster = SimulatedCluster([*nodes, Nodes(400, 1)], lambda _: 5 * chance.random(), outcome, start_seconds=3)
    depth, most = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    run = Run(actors=most, shards_per_actor=depth)
    results = ended(Dispatcher(run, (), Stop(), cluster), shards(number, ROWS))
    assert sorted(results) == list(range(number))
    assert all(isinstance(result, Receipt) for result in results.values())
    assert cluster.peak_in_hand <= depth
    found = {row for result in results.values() for row in result.excluded}  # type: ignore[union-attr]
    assert rows <= found
