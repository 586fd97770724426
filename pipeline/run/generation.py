"""A whole run: plan, check, hold the lease, make what is missing, write the manifest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import ray

from pipeline.cluster import Dispatcher, RayBackend, Setup, connect
from pipeline.run.clock import now
from pipeline.run.commit import commit_run, make_manifest
from pipeline.run.observation import observed
from pipeline.run.preflight import check_before
from pipeline.run.state import State, look
from pipeline.sinks.emission import emitting
from pipeline.sinks.lease import Lease, hold_lease
from pipeline.sinks.ledger import Ledger
from pipeline.sinks.lineage import Lineage
from pipeline.stopping import Stop
from pipeline.throughput import Meter
from schemas.errors import RunError
from schemas.job import Job
from schemas.job_warnings import job_warnings
from schemas.records import Counts, Failure, Manifest, Plan, Receipt, Throughput


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    shards_done: int
    shards: int
    made: Counts
    """What this start has made; shards that were there already are not in it."""
    failures: int


@dataclass(frozen=True)
class Outcome:
    """How a start of a run ended."""

    status: Literal["complete", "incomplete", "stopped", "nothing to do"]
    plan: Plan
    made: Counts
    """What this start has made."""
    shards_made: int
    manifest: Manifest | None
    """None where the run was stopped."""
    throughput: Throughput | None = None
    """Of what this start has made; None where it made nothing."""


def generate(
    job: Job,
    *,
    address: str | None = None,
    stop: Stop | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Makes all shards of `job` that its output lacks, and commits the run.

    `on_warning` is told, before anything runs, what will hardly work. Raises JobError for what is wrong with the job,
    RunError for what storage or workers cannot do.
    """
    stop = stop or Stop()
    state = look(job)
    if state.complete:
        return Outcome("nothing to do", state.plan, Counts(), 0, state.manifest)
    state.folder.check_writable()
    for warning in (*job_warnings(job), *check_before(job, state.plan)):
        on_warning(warning)
    with (
        emitting(on_warning) as send,
        hold_lease(state.folder, state.plan.run_id) as lease,
        Lineage(state.folder, state.plan, send) as lineage,
    ):
        return _work_off(job, state, address, stop, on_progress, on_warning, lease, lineage)


def _work_off(
    job: Job,
    state: State,
    address: str | None,
    stop: Stop,
    on_progress: Callable[[Progress], None],
    on_warning: Callable[[str], None],
    lease: Lease,
    lineage: Lineage,
) -> Outcome:
    plan, done, failures = state.plan, dict(state.done), list[Failure]()
    ledger = Ledger(state.folder, plan.run_id)
    ledger.write_plan(plan)
    started, made, shards_made, meter = now(), Counts(), 0, Meter()
    missing = [shard for shard in plan.shards if shard.key not in done]
    if missing:
        connect(job.run, address)
        try:
            head = plan.model_copy(update={"shards": (), "ranges": ()})
            backend = RayBackend(Setup(job, head, tuple(sys.path)))
            dispatcher = Dispatcher(job.run, plan.ranges, stop, backend, tell=on_warning)
            on_progress(Progress(len(done), len(plan.shards), made, 0))
            for result in observed(dispatcher.run(missing), plan, len(missing), dispatcher.tally):
                if not lease.held():
                    raise RunError(f"{state.folder.name}: another run took the output over; this one has stopped")
                if isinstance(result, Receipt):
                    done[result.key] = result.output(plan.shards[result.index])
                    made, shards_made = made + result.counts, shards_made + 1
                    meter.add(result)
                else:
                    failures.append(result)
                on_progress(
                    Progress(len(plan.shards) - len(missing) + shards_made, len(plan.shards), made, len(failures))
                )
        finally:
            ray.shutdown()
    if len(done) < len(plan.shards) - len(failures):
        return Outcome("stopped", plan, made, shards_made, None, meter.throughput())
    manifest = make_manifest(job, plan, done, failures, started, meter.throughput())
    manifest = commit_run(ledger, plan, manifest, lineage)
    return Outcome(manifest.status, plan, made, shards_made, manifest, manifest.throughput)
