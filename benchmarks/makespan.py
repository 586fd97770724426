"""Measures how close the dispatcher comes to the shortest possible run, on a simulated cluster in virtual time.

    python -m benchmarks.makespan              writes docs/benchmarks/scheduler.json and fills docs/scaling.md

Simulated: the actors, whose devices idle for the drawn duration of a shard. Real: the dispatcher, which does not know
the durations. The ideal makespan is a fluid bound: the work of all shards, each made once, spread without gaps over all
slots while they exist, but no shorter than the longest shard.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import scaling
from benchmarks.simulation import Nodes, SimulatedCluster, shards

from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.dispatcher import Dispatcher
from hardset.pipeline.cluster.messages import Order
from hardset.schemas.job.job import Run
from hardset.schemas.records.run import Receipt

ACTORS, SLOTS_PER_NODE = 64, 8
START_SECONDS = 20.0
"""Start-up time of an actor in seconds: imports, CUDA, weights."""
MEAN_SECONDS = 60.0
"""Mean duration of a shard in seconds."""
SEED = 0


def lognormal(chance: random.Random) -> float:
    """Lognormal duration in seconds, sigma 1: one shard in a hundred takes six times the mean."""
    return MEAN_SECONDS * chance.lognormvariate(-0.5, 1.0)


def pareto(chance: random.Random) -> float:
    """Pareto duration in seconds, shape 2.2: the slowest of 30,000 takes about sixty times the mean."""
    return MEAN_SECONDS * chance.paretovariate(2.2) * (1.2 / 2.2)


def pareto_infinite(chance: random.Random) -> float:
    """Pareto duration in seconds, shape 1.8: infinite variance."""
    return MEAN_SECONDS * chance.paretovariate(1.8) * (0.8 / 1.8)


def steady() -> list[Nodes]:
    """Eight nodes throughout the run."""
    return [Nodes(0, ACTORS)]


def arriving() -> list[Nodes]:
    """One node at first; an autoscaler adds another every two minutes."""
    return [Nodes(120.0 * i, SLOTS_PER_NODE) for i in range(ACTORS // SLOTS_PER_NODE)]


def spot() -> list[Nodes]:
    """Eight nodes; every ten minutes one is removed, and replaced five minutes later."""
    changes = [Nodes(0, ACTORS)]
    for i in range(1, 400):
        changes += [Nodes(600.0 * i, -SLOTS_PER_NODE), Nodes(600.0 * i + 300, SLOTS_PER_NODE)]
    return changes


CASES: dict[str, tuple[int, Callable[[random.Random], float], Callable[[], list[Nodes]], int]] = {
    "lognormal, steady": (30_000, lognormal, steady, 2),
    "lognormal, steady, one in hand": (30_000, lognormal, steady, 1),
    "lognormal, nodes arriving": (30_000, lognormal, arriving, 2),
    "lognormal, a node lost every ten minutes": (30_000, lognormal, spot, 2),
    "Pareto, steady": (30_000, pareto, steady, 2),
    "Pareto, nodes arriving": (30_000, pareto, arriving, 2),
    "Pareto, a node lost every ten minutes": (30_000, pareto, spot, 2),
    "Pareto of infinite variance, steady": (30_000, pareto_infinite, steady, 2),
    "lognormal, steady, a third of the shards": (10_000, lognormal, steady, 2),
    "Pareto, steady, a third of the shards": (10_000, pareto, steady, 2),
}
"""Number of shards, distribution of their durations, nodes, and shards in hand per actor."""


def measure(number: int, draw: Callable[[random.Random], float], nodes: Sequence[Nodes], depth: int) -> dict[str, Any]:
    """Figures of one case."""
    chance = random.Random(SEED)
    times = [draw(chance) for _ in range(number)]

    def seconds(order: Order) -> float:
        return times[order.shard.index]

    cluster = SimulatedCluster(nodes, seconds, start_seconds=START_SECONDS)
    run = Run.model_validate({"actors": {"max": ACTORS}, "shards_per_actor": depth})
    dispatcher = Dispatcher(run, (), Stop(), cluster)
    made = sum(isinstance(result, Receipt) for result in dispatcher.run(shards(number)))
    if made != number:
        raise RuntimeError(f"{made} of {number} shards were made")
    needed = ideal(sum(times), max(times), nodes)
    return {
        "shards": number,
        "actors": ACTORS,
        "makespan_s": cluster.now(),
        "ideal_s": needed,
        "share": needed / cluster.now(),
        "nodes_lost": dispatcher.tally().nodes_lost,
        "lost_share": cluster.lost_seconds / sum(times),
    }


def ideal(work: float, longest: float, nodes: Sequence[Nodes]) -> float:
    """Seconds until slots that come and go have done `work` seconds without gaps, each after its start-up time."""
    slots, at, changes = 0, 0.0, sorted(_ready(nodes), key=lambda change: change.at)
    for change in changes:
        done = slots * (change.at - at)
        if done >= work:
            break
        work, at, slots = work - done, change.at, slots + change.slots
    return max(at + work / slots, longest + START_SECONDS)


def _ready(nodes: Sequence[Nodes]) -> list[Nodes]:
    """The same changes, with new slots counted only after an actor has started in them."""
    return [Nodes(change.at + START_SECONDS * (change.slots > 0), change.slots) for change in nodes]


def main() -> None:
    """Runs all cases and writes the figures and the page."""
    lines = {name: measure(number, draw, nodes(), depth) for name, (number, draw, nodes, depth) in CASES.items()}
    for name, line in lines.items():
        print(f"{name}: {line['share']:.1%} of the ideal, {line['lost_share']:.1%} of the work lost with nodes")
    scaling.write("makespan", {"lines": lines})


if __name__ == "__main__":
    main()
