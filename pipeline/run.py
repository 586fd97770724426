"""A whole run: plan, check, hold the lease, make what is missing, write the manifest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Literal

import numpy as np
import ray

from pipeline.bench import Bench
from pipeline.cluster import Dispatcher, Setup, connect
from pipeline.devices import driver_device
from pipeline.models.preflight import check_gradient, check_model
from pipeline.plan import make_plan
from pipeline.recipes import recipe_text
from pipeline.rows import Pixels
from pipeline.signals import run_warnings
from pipeline.sinks.card import write_card
from pipeline.sinks.emission import emitting
from pipeline.sinks.environment import versions
from pipeline.sinks.lease import Lease, hold_lease
from pipeline.sinks.ledger import Ledger, manifests
from pipeline.sinks.lineage import Lineage
from pipeline.sinks.statement import write_statement
from pipeline.sources import narrowed
from pipeline.storage import Folder
from schemas.attacks import ATTACK_FACTS
from schemas.digests import digest, recipe_id
from schemas.errors import JobError, RunError
from schemas.job import Job
from schemas.job_warnings import job_warnings
from schemas.records import Counts, Failure, Manifest, Output, Plan, Receipt
from schemas.rows import schema_sha256

PREFLIGHT_ROWS = 16
"""Source rows that the model is tried on before anything runs."""


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


@dataclass(frozen=True)
class State:
    """A plan and what of it is committed already."""

    plan: Plan
    folder: Folder
    done: dict[str, Output]
    """By shard key."""
    manifest: Manifest | None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self.manifest is not None
            and self.manifest.status == "complete"
            and all(shard.key in self.done for shard in self.plan.shards)
        )


def look(job: Job) -> State:
    """The plan of `job` and what its output holds of it; writes nothing."""
    plan, folder = make_plan(job), Folder(job.output.path)
    ledger = Ledger(folder, plan.run_id)
    present = set(folder.list("data")) | set(folder.list("quarantine"))
    done = {
        output.key: output
        for manifest in manifests(folder)
        for output in manifest.outputs
        if _files_exist(output, present)
    }
    for key, receipt in ledger.receipts().items():
        output = receipt.output(plan.shards[receipt.index])
        if _files_exist(output, present):
            done[key] = output
    return State(plan, folder, done, ledger.manifest())


def generate(
    job: Job,
    *,
    address: str | None = None,
    stop: Event | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Makes all shards of `job` that its output lacks, and commits the run.

    `on_warning` is told, before anything runs, what will hardly work. Raises JobError for what is wrong with the job,
    RunError for what storage or workers cannot do.
    """
    stop = stop or Event()
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
        return _work_off(job, state, address, stop, on_progress, lease, lineage)


def check_before(job: Job, plan: Plan) -> tuple[str, ...]:
    """Tries source, models and recipes on a few rows, so that a fault costs seconds and not a night.

    Returns warnings, one sentence each.
    """
    bench = Bench(job, plan, driver_device(job))
    warnings: tuple[str, ...] = ()
    if bench.model is not None and plan.ranges:
        pixels = _probe(bench)
        for model in (bench.model, *bench.held_out_models.values()):
            check_model(model, pixels, bench.device, stochastic=job.stochastic)
        if any(ATTACK_FACTS[attack.name].gradient for attack in job.attacks):
            warnings = check_gradient(bench.model, pixels, bench.device)
    for position in range(len(job.recipes)):
        bench.recipe(position)
    if not plan.shards:
        raise JobError(f"source: {bench.source.name} has no rows")
    return warnings


def _probe(bench: Bench) -> Pixels:
    """The first rows of the source that can be read, or blank ones."""
    plan = bench.plan
    first = plan.ranges[0]
    few = narrowed(first, first.start, min(first.stop, first.start + PREFLIGHT_ROWS))
    rows, _ = bench.source.read(few, plan.image, len(plan.classes))
    shape = (2, plan.image.height, plan.image.width, plan.image.channels)
    return rows.pixels if len(rows) else np.zeros(shape, np.uint8)


def _work_off(
    job: Job,
    state: State,
    address: str | None,
    stop: Event,
    on_progress: Callable[[Progress], None],
    lease: Lease,
    lineage: Lineage,
) -> Outcome:
    plan, done, failures = state.plan, dict(state.done), list[Failure]()
    ledger = Ledger(state.folder, plan.run_id)
    ledger.write_plan(plan)
    started, made, shards_made = _now(), Counts(), 0
    missing = [shard for shard in plan.shards if shard.key not in done]
    if missing:
        connect(job, address)
        try:
            head = plan.model_copy(update={"shards": (), "ranges": ()})
            dispatcher = Dispatcher(Setup(job, head, tuple(sys.path)), plan.ranges, stop)
            on_progress(Progress(len(done), len(plan.shards), made, 0))
            for result in dispatcher.run(missing):
                if not lease.held():
                    raise RunError(f"{state.folder.name}: another run took the output over; this one has stopped")
                if isinstance(result, Receipt):
                    done[result.key] = result.output(plan.shards[result.index])
                    made, shards_made = made + result.counts, shards_made + 1
                else:
                    failures.append(result)
                on_progress(
                    Progress(len(plan.shards) - len(missing) + shards_made, len(plan.shards), made, len(failures))
                )
        finally:
            ray.shutdown()
    if len(done) < len(plan.shards) - len(failures):
        return Outcome("stopped", plan, made, shards_made, None)
    manifest = make_manifest(job, plan, done, failures, started)
    manifest = commit_run(ledger, plan, manifest, lineage)
    return Outcome(manifest.status, plan, made, shards_made, manifest)


def commit_run(ledger: Ledger, plan: Plan, manifest: Manifest, lineage: Lineage) -> Manifest:
    """Writes what others read of the run, then its manifest, which is returned as it was written."""
    folder = ledger.folder
    write_card(folder, manifest)  # first: a start that finds the manifest writes nothing any more
    manifest = write_statement(folder, plan, manifest)
    ledger.write_manifest(manifest)
    lineage.finish(manifest)
    return manifest


def make_manifest(job: Job, plan: Plan, done: dict[str, Output], failures: Sequence[Failure], started: str) -> Manifest:
    """The record of the run from its committed shards."""
    outputs = tuple(
        done[shard.key].model_copy(update={"index": shard.index, "recipe": shard.recipe})
        for shard in plan.shards
        if shard.key in done
    )
    texts = [recipe_text(recipe, position, plan.models) for position, recipe in enumerate(job.recipes)]
    return Manifest(
        contract=plan.contract,
        status="incomplete" if failures else "complete",
        run_id=plan.run_id,
        job=plan.job,
        classes=plan.classes,
        image=plan.image,
        models=plan.models,
        recipes={recipe_id(text): text for text in texts},
        schema_sha256=schema_sha256(plan.classes),
        outputs=outputs,
        failures=tuple(sorted(failures, key=lambda failure: failure.index)),
        totals=sum((output.counts for output in outputs), Counts()),
        content_sha256=digest([output.content_sha256 for output in outputs]),
        started=started,
        finished=_now(),
        environment=versions(),
        warnings=(*job_warnings(job), *run_warnings(plan.job["recipes"], outputs)),
    )


def _files_exist(output: Output, present: set[str]) -> bool:
    return all(file is None or file.path in present for file in (output.data, output.quarantine))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
