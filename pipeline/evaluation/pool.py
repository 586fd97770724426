"""Makes parts in this process, or by a few Ray actors that each hold their models."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from hardset.pipeline.cluster.connection import connected
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.evaluation.evaluation_plan import EvaluationPart, EvaluationPlan
from hardset.pipeline.evaluation.evaluation_worker import EvaluationWorker
from hardset.pipeline.evaluation.parts import PartStore
from hardset.pipeline.extensions.driver import DriverContext
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError, UserError, one_line
from hardset.schemas.job.evaluation import EvaluationJob

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class EvaluationSetup:
    """Constructor arguments of every actor."""

    job: EvaluationJob
    plan: EvaluationPlan
    """Plan of the evaluation without its parts."""
    driver: DriverContext = field(default_factory=DriverContext.here)
    """Where the driver finds modules and files."""


class EvaluationActor:
    """Makes parts in a separate process and stores them."""

    def __init__(self, setup: EvaluationSetup) -> None:
        setup.driver.adopt(setup.job)
        torch.set_num_threads(setup.job.run.cpus_per_actor)
        device = torch.device("cuda" if setup.job.run.gpus_per_actor > 0 else "cpu")
        self._worker = EvaluationWorker(setup.job, setup.plan, device, PartStore(Folder(setup.job.output.path)))

    def make(self, part: EvaluationPart) -> None:
        """Makes a part and stores it."""
        self._worker.store.write(part, self._worker.make(part))


def work_here(worker: EvaluationWorker, parts: Sequence[EvaluationPart], stop: Stop) -> Iterator[EvaluationPart]:
    """Makes the parts one after the other and yields each once it is stored. Ends early when `stop` is set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(worker.job.run.cpus_per_actor)  # as in an actor
    try:
        for part in in_order(parts):
            if stop.is_set():
                return
            worker.store.write(part, worker.make(part))
            yield part
    finally:
        torch.set_num_threads(threads)


def work_on_ray(
    job: EvaluationJob, plan: EvaluationPlan, parts: Sequence[EvaluationPart], stop: Stop, address: str | None
) -> Iterator[EvaluationPart]:
    """Makes the parts by `run.actors` actors. A part whose actor died is tried again, `run.max_attempts` times in all.

    Raises JobError if there is no such cluster, RunError if a part is given up, and user errors raised by an actor.
    """
    with connected(job.run, ClusterPlace(address)):
        setup = EvaluationSetup(job, replace(plan, parts=()))
        present = {part.key for part in plan.parts} - {part.key for part in parts}
        yield from Pool(setup, ray.put(setup), stop, present).run(in_order(parts))


def in_order(parts: Sequence[EvaluationPart]) -> list[EvaluationPart]:
    """Parts sorted so that each comes after the parts it needs."""
    return sorted(parts, key=lambda part: part.kind == "transfer")


class Pool:
    """Pool of actors, each with one part in hand."""

    def __init__(self, setup: EvaluationSetup, reference: Any, stop: Stop, present: set[str]) -> None:
        """`present`: keys of parts that are already stored."""
        self._setup, self._reference, self._stop, self._present = setup, reference, stop, present
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Any, EvaluationPart]] = {}
        self._attempts: dict[str, int] = {}

    def run(self, parts: Sequence[EvaluationPart]) -> Iterator[EvaluationPart]:
        """Makes all parts, which must be sorted so that each comes after the parts it needs."""
        waiting = deque(parts)
        self._idle = [self._actor() for _ in range(min(self._setup.job.run.most_actors, len(waiting)))]
        try:
            while (waiting and not self._stop.is_set()) or self._running:
                if self._stop.expired():
                    return
                self._feed(waiting)
                finished, _ = ray.wait(list(self._running), num_returns=1, timeout=_POLL_SECONDS)
                for task in finished:
                    yield from self._collect(task, waiting)
        finally:
            for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
                ray.kill(actor, no_restart=True)

    def _actor(self) -> Any:
        run = self._setup.job.run
        kind = ray.remote(num_cpus=run.cpus_per_actor, num_gpus=run.gpus_per_actor, max_restarts=0)(EvaluationActor)
        return kind.remote(self._reference)

    def _feed(self, waiting: deque[EvaluationPart]) -> None:
        while waiting and self._idle and not self._stop.is_set():
            if waiting[0].needs and waiting[0].needs not in self._present:
                return  # the rows it needs are still being made
            part, actor = waiting.popleft(), self._idle.pop()
            self._running[actor.make.remote(part)] = (actor, part)

    def _collect(self, task: Any, waiting: deque[EvaluationPart]) -> Iterator[EvaluationPart]:
        actor, part = self._running.pop(task)
        try:
            ray.get(task)
        except RayTaskError as error:
            self._idle.append(actor)
            self._charge(part, waiting, error.cause)
        except RayActorError as error:
            self._idle.append(self._actor())
            self._charge(part, waiting, getattr(error, "cause", None) or error)
        else:
            self._idle.append(actor)
            self._present.add(part.key)
            yield part

    def _charge(self, part: EvaluationPart, waiting: deque[EvaluationPart], error: BaseException) -> None:
        if isinstance(error, UserError):
            raise error
        tries = self._attempts[part.key] = self._attempts.get(part.key, 0) + 1
        if tries >= self._setup.job.run.max_attempts:
            told = f"{type(error).__name__}: {one_line(error, 300)}"
            name = self._setup.job.models[part.model].name
            raise RunError(f"{name}: a part ({part.kind}) was given up after {tries} attempts; the last said: {told}")
        waiting.appendleft(part)
