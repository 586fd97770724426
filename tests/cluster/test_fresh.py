"""Fresh shards: each goes out once, those of a range to one actor as long as other ranges wait."""

from __future__ import annotations

from collections import defaultdict

import pytest
from benchmarks.simulation import Nodes, SimulatedCluster, made
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.dispatcher import Dispatcher
from hardset.pipeline.cluster.fresh import FreshShards
from hardset.pipeline.cluster.messages import Order, Result
from hardset.schemas.job.job import Run
from hardset.schemas.records.run import Shard, SourceRange


def shards(ranges: int, recipes: int, samples: int = 0) -> list[Shard]:
    """In plan order: recipe by recipe, samples last."""
    places = [(recipe, number) for recipe in range(recipes) for number in range(ranges)]
    places += [(recipes, -1)] * samples
    return [
        Shard(
            index=i,
            key=f"{i:064x}",
            recipe=recipe,
            range=number if number >= 0 else None,
            split="train",
            start=0,
            stop=1,
        )
        for i, (recipe, number) in enumerate(places)
    ]


@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 3), st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_every_shard_goes_out_once(ranges: int, recipes: int, samples: int, actors: list[int]) -> None:
    work = shards(ranges, recipes, samples)
    fresh, taken = FreshShards(work), []
    for actor in actors[: len(work)]:
        assert len(fresh) == len(work) - len(taken)
        taken.append(fresh.take(actor))
    assert len({shard.index for shard in taken}) == len(taken)
    assert len(fresh) == 0 or len(taken) < len(work)


def test_one_actor_gets_range_after_range_and_samples_last() -> None:
    fresh = FreshShards(shards(2, 2, samples=1))
    taken = [fresh.take(0) for _ in range(5)]
    assert [(shard.range, shard.recipe) for shard in taken] == [(0, 0), (0, 1), (1, 0), (1, 1), (None, 2)]


def test_where_no_range_waits_others_help() -> None:
    fresh = FreshShards(shards(1, 4))
    assert fresh.take(0).recipe == 0
    assert fresh.take(1).recipe == 3
    assert {fresh.take(0).recipe, fresh.take(1).recipe} == {1, 2}
    with pytest.raises(IndexError):
        fresh.take(0)


def test_actors_keep_to_their_ranges() -> None:
    """24 ranges, 5 recipes, 4 actors: only at the end does anyone read a range that another had."""
    readers: dict[int, set[int]] = defaultdict(set)

    def outcome(order: Order) -> Result:
        return made(order)

    cluster = SimulatedCluster([Nodes(0, 4)], lambda order: 1.0 + order.shard.recipe, outcome)
    send = cluster.send

    def spy(actor: int, order: Order) -> int:
        assert order.shard.range is not None
        readers[order.shard.range].add(actor)
        return send(actor, order)

    cluster.send = spy  # type: ignore[method-assign]
    work = shards(24, 5)
    ranges = [SourceRange(split="train", file="a", start=i, stop=i + 1, digest="0" * 64) for i in range(24)]
    assert len(list(Dispatcher(Run(actors=4), ranges, Stop(), cluster).run(work))) == len(work)
    assert sum(map(len, readers.values())) <= 24 + 4
