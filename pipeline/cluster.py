"""The Ray Core actors that make shards, and the dispatcher that feeds them.

One shard is in an actor's hands at a time, so a crash is charged to the shard that was running and to no neighbour.
A dead actor is replaced by a new one, wherever the cluster has room; preemption is not charged to anybody.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError

from pipeline.bench import Bench
from pipeline.shard import run_shard
from pipeline.sinks.ledger import Ledger
from pipeline.storage import Folder
from schemas.errors import JobError, RunError, UserError
from schemas.job import Job
from schemas.records import Failure, Plan, Receipt, Shard, SourceRange

POLL_SECONDS = 0.5
"""How often a request to stop is looked for."""


@dataclass(frozen=True)
class Setup:
    """What every actor is built from: a few kilobytes, so that a replacement can always be started."""

    job: Job
    plan: Plan
    """Without shards and ranges."""
    import_path: tuple[str, ...] = ()
    """Where the driver finds modules, such as a model factory beside the job file."""


class ShardActor:
    """Makes shards in a process of its own."""

    def __init__(self, setup: Setup) -> None:
        sys.path.extend(place for place in setup.import_path if place not in sys.path)
        torch.set_num_threads(setup.job.run.cpus_per_actor)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may not be deterministic
        device = torch.device("cuda" if setup.job.run.gpus_per_actor > 0 else "cpu")
        self._bench = Bench(setup.job, setup.plan, device)
        self._ledger = Ledger(Folder(setup.job.output.path), setup.plan.run_id)

    def ready(self) -> None:
        """Answers once Ray has found room for the actor and started it."""

    def make(self, shard: Shard, rows: SourceRange | None, attempt: int) -> Receipt:
        """Makes one shard and commits it."""
        return run_shard(shard, rows, self._bench, self._ledger, attempt=attempt)


@dataclass
class _Work:
    """A shard that waits or runs, and what it has cost so far."""

    shard: Shard
    attempts: int = 0
    error: str = ""


@dataclass
class Dispatcher:
    """Feeds the shards of one run to actors, and yields each as it ends."""

    setup: Setup
    ranges: Sequence[SourceRange]
    stop: Event
    _reference: Any = None
    _starting: dict[Any, Any] = field(default_factory=dict)
    _idle: list[Any] = field(default_factory=list)
    _running: dict[Any, tuple[Any, _Work]] = field(default_factory=dict)
    _deaths_in_a_row: int = 0

    def run(self, shards: Sequence[Shard]) -> Iterator[Receipt | Failure]:
        """Makes `shards` in plan order. Ends early, with the shards in hand finished, once `stop` is set.

        Raises the UserError that an actor met where trying again cannot help.
        """
        waiting = deque(_Work(shard) for shard in shards)
        self._reference = ray.put(self.setup)
        try:
            for _ in range(min(self.setup.job.run.actors, len(waiting))):
                self._start_actor()
            while (waiting and not self.stop.is_set()) or self._running:
                self._feed(waiting)
                tasks = [*self._running, *self._starting]
                finished, _ = ray.wait(tasks, num_returns=1, timeout=POLL_SECONDS)
                for task in finished:
                    if task in self._starting:
                        self._admit(task)
                    else:
                        yield from self._collect(task, waiting)
        finally:
            for actor in [*self._starting.values(), *self._idle, *(actor for actor, _ in self._running.values())]:
                ray.kill(actor, no_restart=True)

    def _start_actor(self) -> None:
        """Asks for an actor. It is fed once it answers; until the cluster has room for it, the others do the work."""
        run = self.setup.job.run
        kind = ray.remote(num_cpus=run.cpus_per_actor, num_gpus=run.gpus_per_actor, max_restarts=0)(ShardActor)
        actor = kind.remote(self._reference)
        self._starting[actor.ready.remote()] = actor

    def _admit(self, task: Any) -> None:
        """Takes an actor that answered into service, or starts another for one that died on the way."""
        actor = self._starting.pop(task)
        try:
            ray.get(task)
        except RayActorError as error:
            self._count_death(error)
            self._start_actor()
        else:
            self._idle.append(actor)

    def _feed(self, waiting: deque[_Work]) -> None:
        while waiting and self._idle and not self.stop.is_set():
            work, actor = waiting.popleft(), self._idle.pop()
            rows = None if work.shard.range is None else self.ranges[work.shard.range]
            self._running[actor.make.remote(work.shard, rows, work.attempts + 1)] = (actor, work)

    def _collect(self, task: Any, waiting: deque[_Work]) -> Iterator[Receipt | Failure]:
        actor, work = self._running.pop(task)
        try:
            receipt: Receipt = ray.get(task)
        except RayTaskError as error:
            self._idle.append(actor)
            yield from self._charge(work, waiting, error.cause)
        except (RayActorError, TaskCancelledError) as error:
            ray.kill(actor, no_restart=True)
            self._start_actor()
            if getattr(error, "preempted", False):
                waiting.appendleft(work)
                return
            yield from self._died(work, waiting, error)
        else:
            self._deaths_in_a_row = 0
            self._idle.append(actor)
            yield receipt

    def _died(self, work: _Work, waiting: deque[_Work], error: RayError) -> Iterator[Receipt | Failure]:
        self._count_death(error)
        yield from self._charge(work, waiting, error)

    def _count_death(self, error: RayError) -> None:
        """Raises what an actor met while it was built, and RunError once too many have died in a row."""
        self._deaths_in_a_row += 1
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause
        limit = 2 * self.setup.job.run.max_attempts * self.setup.job.run.actors
        if self._deaths_in_a_row > limit:
            raise RunError(f"{limit} workers died one after the other without making a shard; the last said: {error}")

    def _charge(self, work: _Work, waiting: deque[_Work], error: BaseException) -> Iterator[Receipt | Failure]:
        """Puts the shard back in line, or gives it up once its attempts are spent."""
        work.attempts += 1
        work.error = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        if isinstance(error, JobError):
            raise error
        if work.attempts < self.setup.job.run.max_attempts:
            waiting.appendleft(work)
        elif isinstance(error, RunError):
            raise error
        else:
            yield Failure(index=work.shard.index, key=work.shard.key, attempts=work.attempts, error=work.error)


def connect(job: Job, address: str | None) -> None:
    """Joins the Ray cluster at `address`, or starts one inside this process's machine.

    Raises JobError where the cluster cannot be reached or can never give an actor what it asks for.
    """
    with _own_signal_handlers():
        if address is None:
            _start_embedded(job)
            return
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise JobError(f"--address {address}: no Ray cluster answers there ({error})") from None


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Puts the caller's handlers back: Ray 2.60 installs one of its own for SIGTERM, which aborts the process."""
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_embedded(job: Job) -> None:
    run = job.run
    # Logical CPUs only: more actors than cores share them, as the job asked.
    cpus = max(os.cpu_count() or 1, run.actors * run.cpus_per_actor)
    if run.gpus_per_actor > 0 and not torch.cuda.is_available():
        raise JobError("run.gpus_per_actor: this machine has no GPU that torch can use; set 0, or give --address")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=200 * 1024**2,  # bytes; specs and receipts only, rows never enter it
    )
