"""The Ray actor that makes shards, and what it is built from."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

import torch

from hardset.pipeline.cluster.messages import Order, Passed, Raised, Ready
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.extensions.driver import DriverContext
from hardset.pipeline.shards.make import probe_shard, run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, UserError, one_line
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Plan, Receipt


@dataclass(frozen=True)
class ActorSetup:
    """Values that every actor is built from: a few kilobytes, so that a replacement can always be started."""

    job: Job
    plan: Plan
    """Plan of the run without shards and ranges."""
    driver: DriverContext = field(default_factory=DriverContext.here)
    """Where the driver finds modules and files."""
    lease: int = 0
    """Number of the lease that the driver holds."""


class ShardActor:
    """Makes shards in a process of its own, up to `run.shards_per_actor` at once, each in a thread of its own.

    No method raises: exceptions are told in words, because not every exception survives the way to another process,
    and because SystemExit would end this one.
    """

    def __init__(self, setup: ActorSetup) -> None:
        self._setup = setup
        self._worker: Worker
        self._ledger: Ledger

    def prepare(self) -> Ready | Raised:
        """Builds all that shards need, so that what cannot work is told before any shard is tried."""
        job, plan = self._setup.job, self._setup.plan
        try:
            self._setup.driver.adopt(job)
            torch.set_num_threads(job.run.cpus_per_actor)
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may not be deterministic
            device = torch.device("cuda" if job.run.gpus_per_actor > 0 else "cpu")
            self._worker = Worker(job, plan, device)
            self._ledger = Ledger(Folder(job.output.path), plan.run_id, lease=self._setup.lease)
            _check_shared(self._ledger)
            self._worker.prepare()
        except BaseException as error:
            return _told(error)
        return Ready()

    def make(self, order: Order) -> Receipt | Passed | Raised:
        """Makes one shard and commits it, or tries a part of one."""
        try:
            if order.probe:
                probe_shard(order.shard, order.rows, self._worker)
                return Passed()
            return run_shard(order.shard, order.rows, self._worker, self._ledger, attempt=order.attempt, bad=order.bad)
        except BaseException as error:
            return _told(error)


def _check_shared(ledger: Ledger) -> None:
    """Raises JobError where the output here is not the one of the driver, which puts the plan there first."""
    if not ledger.started():
        raise JobError(
            f"output.path: {ledger.folder.name} on {socket.gethostname()} is not the folder that the driver writes to; "
            "on a cluster it wants a URL, or an absolute path that every node sees"
        )


def _told(error: BaseException) -> Raised:
    text = one_line(error) or "no message"
    if isinstance(error, SystemExit):
        text = f"sys.exit({error.code!r}) was called"
    # After a failed kernel every call of CUDA fails in this process; out of memory is not of that kind.
    broken = isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)
    return Raised(type(error).__name__, text, error if isinstance(error, UserError) else None, broken)
