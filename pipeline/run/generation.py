"""A whole run: plan, check, hold the lease, make what is missing, write the manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Literal

from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.work_place import refuse_unused
from hardset.pipeline.dataset.provenance.emission import emitting
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.records.lease import Lease, hold_lease
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest
from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.dataset.records.turns import Turn, refuse_held
from hardset.pipeline.planning.carried_columns import check_columns
from hardset.pipeline.planning.changes import change_warnings, check_changes
from hardset.pipeline.planning.class_map import check_classes
from hardset.pipeline.recipes.table import variants
from hardset.pipeline.run.admission import check_judged
from hardset.pipeline.run.budget import NO_BUDGET, Budget, Left, Limit, Reason
from hardset.pipeline.run.commit import commit_run, make_manifest, renew_card
from hardset.pipeline.run.precheck import Checked, check_before, check_gate
from hardset.pipeline.run.run_state import RunState, look
from hardset.pipeline.run.shard_results import Made, results
from hardset.schemas.errors import GoneError, HeldError, RunError, UserError
from hardset.schemas.job.job import Job
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.records.admission import Admission
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Plan, Shard
from hardset.schemas.records.throughput import Throughput


@dataclass(frozen=True)
class RunProgress:
    """Progress of a run."""

    shards_done: int
    shards: int
    made: Counts
    """Counts of what this start has made, without shards that were there already."""
    failures: int
    clean: CleanAccuracy | None = None
    """Clean accuracy of the model under attack on a sample of the source; None without a model."""


@dataclass(frozen=True)
class RunOutcome:
    """Outcome of a start of a run."""

    status: Literal["complete", "incomplete", "stopped", "nothing to do"]
    plan: Plan
    made: Counts
    """Counts of what this start has made."""
    shards_made: int
    manifest: Manifest | None
    """None where the run was stopped."""
    throughput: Throughput | None = None
    """Throughput of this start; None if it made nothing."""
    stopped_by: Reason | None = None
    """Reason why it was stopped; None where it was not."""
    left: Left | None = None
    """Work for the next start; None where it was not stopped."""
    clean: CleanAccuracy | None = None
    """Clean accuracy of the model under attack on a sample of the source; None without a model."""


@dataclass(frozen=True)
class Accept:
    """What may differ from the newest run of the job; otherwise a run stops before it makes anything."""

    classes: bool = False
    """Class names, so that labels change their meaning."""
    columns: bool = False
    """Types of the user's own columns."""


def generate(
    job: Job,
    *,
    address: str | None = None,
    stop: Stop | None = None,
    budget: Budget = NO_BUDGET,
    wait: bool = False,
    metrics_port: int | None = None,
    accept: Accept = Accept(),
    min_clean_accuracy: float | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[RunProgress], None] = lambda _: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> RunOutcome:
    """Makes all shards of `job` that its output lacks, as far as `budget` goes, and commits the run.

    `wait`: where another run holds the output, wait for its end. `metrics_port`: where a Ray that is started here tells
    Prometheus its metrics. `accept`: what may differ from the run before. `min_clean_accuracy`: the least share of
    sampled clean rows, in [0, 1], that the model must classify correctly for anything to be made. `on_phase` is told
    what begins before the first progress, such as "reading the source". `on_warning` is told,
    before anything runs, what will hardly work. Raises JobError for what is wrong with the job, RunError for what
    storage or workers cannot do and for a gate that does not hold, and of those HeldError where another run holds the
    output or takes it over.
    """
    limit, place = Limit(budget, stop or Stop()), ClusterPlace(address, metrics_port)
    if job.run.here:
        refuse_unused(place)
    on_phase("reading the source")
    state, turn = look(job), Turn(wait, limit, on_warning)
    if state.complete:
        check_gate(state.earlier.clean if state.earlier else None, job, min_clean_accuracy)
        _renew_card(state, on_warning)
        return _nothing(state)
    check_judged(job)
    check_changes(job.source, state.plan.changes)
    check_classes(job, state.plan, state.earlier, accept=accept.classes)
    check_columns(state.plan, state.earlier, accept=accept.columns)
    limit.admitted(state.missing, lambda shard: _rows_out(job, shard))
    state.folder.check_writable()
    try:
        refuse_held(state.folder, turn=turn)  # before the model is tried, which takes seconds
        for warning in (
            *change_warnings(job.source, state.plan.changes),
            *state.plan.warnings,
            *job_warnings(job),
        ):
            on_warning(warning)
        on_phase("loading and trying the models")
        checked = (
            check_before(job, state.plan, state.folder, state.missing)
            if state.missing
            else Checked(clean=_known(state), admitted=_admitted_before(state))
        )
        for warning in (*checked.warnings, *(checked.clean.findings if checked.clean else ())):
            on_warning(warning)
        check_gate(checked.clean, job, min_clean_accuracy)
        with (
            emitting(on_warning) as send,
            hold_lease(state.folder, state.plan.run_id, above=state.lease, turn=turn) as lease,
        ):
            if lease.number > state.lease + 1:  # others have been at work since the look
                state = look(job)
                if state.complete:
                    return _nothing(state)
            with Lineage(state.folder, state.plan, send) as lineage:
                on_phase("preparing shards" if job.run.here else "starting Ray and its actors")
                with ExitStack() as cluster:  # left once the manifest is written: Ray takes its time to end
                    return _work_off(
                        job, state, checked, place, cluster, limit, on_progress, on_warning, lease, lineage
                    )
    except HeldError:
        if not (wait and limit.is_set()):
            raise
        return _stopped(job, state, limit, Made(), 0)


def _work_off(
    job: Job,
    state: RunState,
    checked: Checked,
    place: ClusterPlace,
    cluster: ExitStack,
    limit: Limit,
    on_progress: Callable[[RunProgress], None],
    on_warning: Callable[[str], None],
    lease: Lease,
    lineage: Lineage,
) -> RunOutcome:
    clean, plan = checked.clean, state.plan.model_copy(update={"lease": lease.number})
    made, started, began = Made(), now(), time.monotonic()
    admitted = limit.admitted(state.missing, lambda shard: _rows_out(job, shard))
    ledger = Ledger(state.folder, plan.run_id, fence=lease.check)
    ledger.write_plan(plan)

    def tell() -> None:
        done = len(state.done) + len(made.outputs)
        on_progress(RunProgress(done, len(plan.shards), made.counts, len(made.failures), clean))

    work = results(
        job,
        plan,
        admitted,
        done=len(state.done),
        lease=lease.number,
        place=place,
        cluster=cluster,
        stop=limit,
        tell=on_warning,
        on_start=tell,
    )
    with _blaming(lease), closing(work) as ended:
        for result in ended:
            if not lease.held():
                lease.check()
            limit.note(result)
            made.add(result, plan)
            tell()
    if len(made.settled) < len(state.missing):
        return _stopped(job, state, limit, made, time.monotonic() - began, clean)
    throughput = made.meter.throughput()
    manifest = make_manifest(job, plan, {**state.done, **made.outputs}, made.failures, started, throughput, clean)
    records = {"lease": lease.number, "admitted": _with_earlier(checked.admitted, state)}
    manifest = commit_run(ledger, plan, manifest.model_copy(update=records), lineage)
    newest = latest_manifest(state.folder)
    if newest is not None and newest.run_id != manifest.run_id:
        on_warning(
            f"this run stands for {manifest.logical_date}: run {newest.run_id[:8]} of {newest.logical_date} stays the "
            f"newest in {state.folder.name}, which readers get; --run {manifest.logical_date} gives this one"
        )
    return RunOutcome(manifest.status, plan, made.counts, len(made.outputs), manifest, manifest.throughput, clean=clean)


def _renew_card(state: RunState, on_warning: Callable[[str], None]) -> None:
    assert state.newest is not None
    try:
        renew_card(state.folder, state.newest)
    except HeldError:  # whoever holds the output writes a card of its own
        pass
    except RunError as error:
        on_warning(f"{error}; the card tells of an earlier run")


@contextmanager
def _blaming(lease: Lease) -> Iterator[None]:
    """Tells the loss of the output where that is why the work failed."""
    try:
        yield
    except UserError as error:
        if not isinstance(error, HeldError | GoneError):
            lease.blame(error)
        raise


def _nothing(state: RunState) -> RunOutcome:
    clean = state.earlier.clean if state.earlier else None
    return RunOutcome("nothing to do", state.plan, Counts(), 0, state.earlier, clean=clean)


def _known(state: RunState) -> CleanAccuracy | None:
    """The clean accuracy of an earlier run of the same model; None where no record holds it."""
    earlier = state.earlier
    return earlier.clean if earlier is not None and earlier.models == state.plan.models else None


def _admitted_before(state: RunState) -> tuple[Admission, ...]:
    """Figures of generators in the record of an earlier run of the same models."""
    earlier = state.earlier
    return earlier.admitted if earlier is not None and earlier.models == state.plan.models else ()


def _with_earlier(admitted: tuple[Admission, ...], state: RunState) -> tuple[Admission, ...]:
    """Figures of this start, and those of earlier ones whose shards it did not have to make."""
    known = {one.recipe: one for one in (*_admitted_before(state), *admitted)}
    return tuple(known[position] for position in sorted(known))


def _stopped(
    job: Job, state: RunState, limit: Limit, made: Made, seconds: float, clean: CleanAccuracy | None = None
) -> RunOutcome:
    settled = made.settled
    shards = [shard for shard in state.missing if shard.key not in settled]
    rows = sum(_rows_out(job, shard) for shard in shards)
    pace = made.counts.expected / seconds if seconds else 0
    left = Left(len(shards), rows, round(rows / pace / 60, 1) if pace else None)
    return RunOutcome(
        "stopped",
        state.plan,
        made.counts,
        len(made.outputs),
        None,
        made.meter.throughput(),
        stopped_by=limit.reason,
        left=left,
        clean=clean,
    )


def _rows_out(job: Job, shard: Shard) -> int:
    """Number of rows that should come out of a shard."""
    return shard.rows * variants(job.recipes[shard.recipe])
