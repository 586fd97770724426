"""`hardset.generate`: makes the dataset of a job, or what is missing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Literal

from hardset.jobs.api.hearing import Warn, nothing, warner
from hardset.jobs.api.inputs import Document, Overrides, load_job
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.judging.transfer_counts import transfer_rates
from hardset.pipeline.run.budget import Budget
from hardset.pipeline.run.generation import Accept, RunOutcome, RunProgress
from hardset.pipeline.run.generation import generate as run_job
from hardset.pipeline.shards.bottleneck import throughput_record
from hardset.schemas.job.job import Job
from hardset.schemas.records.results import Ended, LeftOver, Pace, Transfer


def generate(
    job: Document | Job,
    *,
    overrides: Overrides = (),
    address: str | None = None,
    phase: Callable[[str], None] = nothing,
    progress: Callable[[RunProgress], None] = nothing,
    on_warning: Warn | None = None,
    stop: Stop | None = None,
    max_rows: int | None = None,
    max_minutes: float | None = None,
    wait: bool = False,
    metrics_port: int | None = None,
    accept_classes: bool = False,
    accept_columns: bool = False,
    min_clean_accuracy: float | None = None,
) -> Ended:
    """Makes the dataset of a job, or whatever is missing of it: what `hardset generate` does, and prints with --json.

    Uses the Ray cluster that this process is connected to and leaves it running; else joins the one at `address`, or
    starts one on this machine and ends it. `phase` is called with what begins before any shard is made, such as
    "reading the source", `progress` after each shard, both in this thread; `on_warning` with each warning once, which
    otherwise goes to the logger `hardset`. `stop`: ends the run early once it is set, from another thread. `max_rows`,
    `max_minutes`: a budget, after which the status is `stopped`. `wait`: for the end of another run that holds the
    output. `metrics_port`: where a Ray that is started here tells Prometheus its metrics. `accept_classes`,
    `accept_columns`: go on where the classes, or the types of the user's columns, are not those of the newest run, and
    make all rows anew. `min_clean_accuracy`: a gate in [0, 1] for the model's accuracy on a sample of clean rows,
    before anything is made.

    Raises JobError for what is wrong with the job, RunError for what storage or workers cannot do, and of those
    HeldError where another run holds the output.

    >>> import hardset
    >>> ended = hardset.generate({
    ...     "name": "flipped",
    ...     "source": {"format": "digits", "limit": 50},
    ...     "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
    ...     "output": {"path": "flipped"},
    ...     "run": {"actors": 1},
    ... })
    >>> ended.status, ended.totals.rows_out
    ('complete', 50)
    """
    outcome = run_job(
        load_job(job, overrides),
        address=address,
        stop=stop,
        budget=Budget(max_rows, max_minutes),
        wait=wait,
        metrics_port=metrics_port,
        accept=Accept(classes=accept_classes, columns=accept_columns),
        min_clean_accuracy=min_clean_accuracy,
        on_phase=phase,
        on_progress=progress,
        on_warning=warner(on_warning),
    )
    return ended(outcome)


def ended(outcome: RunOutcome) -> Ended:
    """How a start of a run ended, as schedulers are told."""
    manifest, pace = outcome.manifest, throughput_record(outcome.throughput)
    totals = manifest.totals if manifest else outcome.made
    return Ended(
        status=outcome.status,
        run_id=outcome.plan.run_id,
        logical_date=outcome.plan.logical_date,
        shards=len(outcome.plan.shards),
        shards_made=outcome.shards_made,
        failures=manifest.failures if manifest else (),
        warnings=manifest.warnings if manifest else (),
        made=outcome.made,
        totals=totals,
        clean=outcome.clean,
        admitted=manifest.admitted if manifest else (),
        transfer={n: Transfer(fooled=fooled, of=of) for n, (fooled, of) in transfer_rates(totals.signals).items()},
        throughput=None if pace is None else Pace.model_validate(pace),
        changes=outcome.plan.changes,
        stopped_by=outcome.stopped_by,
        left=LeftOver(**asdict(outcome.left)) if outcome.left else None,
        exit_code=_exit_code(outcome),
    )


def _exit_code(outcome: RunOutcome) -> Literal[0, 3, 4]:
    if outcome.manifest is None:
        return 4
    return 3 if outcome.manifest.failures or outcome.manifest.totals.quarantined else 0
