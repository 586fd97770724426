"""The shards of a run on its actors."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from hardset.pipeline.cluster.actors import ActorSetup
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.dispatcher import Dispatcher
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.work_place import at_work
from hardset.pipeline.run.observation import observed
from hardset.pipeline.shards.bottleneck import Meter
from hardset.schemas.job.job import Job
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure, Output, Plan, Receipt, Shard


@dataclass
class Made:
    """Results of a start of a run so far."""

    outputs: dict[str, Output] = field(default_factory=dict)
    """Committed shards by key."""
    failures: list[Failure] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    meter: Meter = field(default_factory=Meter)

    @property
    def settled(self) -> set[str]:
        """Keys of the shards that are committed or given up."""
        return {*self.outputs, *(failure.key for failure in self.failures)}

    def add(self, result: Receipt | Failure, plan: Plan) -> None:
        """Takes a shard that has ended."""
        if isinstance(result, Receipt):
            self.outputs[result.key] = result.output(plan.shards[result.index])
            self.counts += result.counts
            self.meter.add(result)
        else:
            self.failures.append(result)


def results(
    job: Job,
    plan: Plan,
    shards: Sequence[Shard],
    *,
    done: int,
    lease: int,
    place: ClusterPlace,
    cluster: ExitStack,
    stop: Stop,
    tell: Callable[[str], None],
    on_start: Callable[[], None],
) -> Generator[Receipt | Failure]:
    """Makes `shards` on the cluster of `place`, or on one inside this machine, and yields each as it ends.

    `done`: shards of the plan that are there already. `lease`: number of the lease that they are made under.
    `cluster`: what leaves the cluster, seconds later for Ray, once the caller needs it no more. `tell` is given
    warnings; `on_start` is called once the cluster has answered. Raises as `at_work` and `Dispatcher.run` do.
    """
    if not shards:
        return
    head = plan.model_copy(update={"shards": (), "ranges": ()})
    backend = cluster.enter_context(at_work(ActorSetup(job, head, lease=lease), place))
    dispatcher = Dispatcher(job.run, plan.ranges, stop, backend, tell=tell)
    on_start()
    yield from observed(dispatcher.run(shards), plan, len(shards), dispatcher.tally, done=done)
