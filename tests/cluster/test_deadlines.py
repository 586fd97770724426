"""How long a shard may take before it counts as stuck, by the seconds; and the same in a cluster's virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.simulation import Nodes, SimulatedCluster, shards

from hardset.pipeline.cluster.bisection import Bisection
from hardset.pipeline.cluster.deadlines import Deadlines, Stop
from hardset.pipeline.cluster.dispatcher import Dispatcher
from hardset.pipeline.cluster.messages import Order
from hardset.pipeline.cluster.pending import PendingShard
from hardset.schemas.job.job import Run


def learned(*seconds: float) -> Deadlines:
    deadlines = Deadlines()
    for one in seconds:
        deadlines.learn(one)
    return deadlines


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], 4 * 3600),  # nobody knows yet
        ([1, 1, 1], 600),  # ten minutes at least
        ([100, 90, 110], 1000),  # ten times the median
        ([100, 100, 100, 500], 1500),  # three times the slowest
        ([500, 100, 100, 100], 1500),  # whenever that was
        ([70] * 51 + [200] * 49, 700),
        ([400] + [100] * 101, 1200),  # the slowest is remembered ...
        ([130] * 101 + [100] * 50, 1300),  # ... and of the others the last 101: the median is still that of before
        ([130] * 101 + [100] * 51, 1000),
    ],
)
def test_a_shard_may_take_ten_times_the_median_and_three_times_the_slowest(seconds, expected):
    assert learned(*seconds).whole() == expected


def test_the_jobs_own_deadline_counts_alone():
    deadlines = Deadlines(fixed=5.0)
    assert deadlines.whole() == 5.0
    deadlines.learn(1000)
    assert deadlines.whole() == 5.0


@pytest.mark.parametrize(("overdue", "times"), [(0, 1), (1, 2), (2, 4), (5, 32), (6, 64), (7, 64), (50, 64)])
def test_each_try_that_was_overdue_doubles_the_time(overdue, times):
    assert Deadlines().of(PendingShard(shards(1)[0], overdue=overdue), 100.0) == 100.0 * times


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    # A probe makes the first half of the rows that are left, of 100.
    [(0, 100, 500), (0, 50, 250), (20, 60, 200), (0, 12, 60), (0, 14, 70), (99, 100, 60)],
)
def test_a_probe_has_its_share_and_a_minute_at_least(low, high, expected):
    work = PendingShard(shards(1)[0], overdue=3, search=Bisection(low, high))
    assert Deadlines().of(work, 1000.0) == pytest.approx(expected)
    # Where a whole shard has less than a minute, so has a probe.
    assert Deadlines().of(replace(work, search=Bisection(0, 2)), 40.0) == 40.0


def test_a_stuck_shard_is_given_up_after_ten_times_what_others_took():
    """In virtual time: nineteen shards of 100 s, and one that is silent at its first try."""
    sent: dict[float, Order] = {}

    def seconds(order: Order) -> float | None:
        if order.shard.index != 19:
            return 100.0
        sent[cluster.now()] = order
        return None if len(sent) == 1 else 100.0

    cluster = SimulatedCluster([Nodes(0, 2)], seconds)
    dispatcher = Dispatcher(Run(actors=2, shards_per_actor=1), (), Stop(), cluster)
    assert len(list(dispatcher.run(shards(20)))) == 20
    first, second = sent
    assert dispatcher.tally().abandoned == 1
    # The dispatcher looks every few seconds.
    assert 1000 <= second - first < 1020
