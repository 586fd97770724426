"""`hardset generate`: makes the dataset of a job, or what is missing of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from hardset.jobs.terminal.console import AsJson, Exit, JobFile, Overrides, count, give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.limits import IfHeld, MaxMinutes, MaxRows, WhenHeld
from hardset.jobs.terminal.progress import showing
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds, stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, Logs, speaking
from hardset.pipeline.judging.transfer import transfer_rates
from hardset.pipeline.run.budget import NO_BUDGET, Budget
from hardset.pipeline.run.generation import RunOutcome
from hardset.pipeline.run.generation import generate as run_job
from hardset.pipeline.shards.bottleneck import bound_sentence, throughput_record
from hardset.schemas.errors import HeldError, JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import load_job
from hardset.schemas.records.run import Plan

Address = Annotated[
    str | None,
    typer.Option(help="A Ray cluster, such as auto or ray://HOST:10001. Without it, Ray is started on this machine."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65_535,
        help="Port at which Prometheus finds the metrics where Ray is started on this machine; they need no token.",
    ),
]


def generate(
    job: JobFile,
    address: Address = None,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    metrics_port: MetricsPort = None,
    max_rows: MaxRows = None,
    max_minutes: MaxMinutes = None,
    if_held: WhenHeld = IfHeld.FAIL,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Make the dataset of JOB, or whatever is missing of it.

    Reads the source and the weights that JOB names; writes shards, quarantine, manifest and dataset card below
    output.path. A second start does only what is missing. Returns 0 when all is done, 3 when rows were quarantined or
    shards failed, 4 when stopped, 5 when another run holds the output.
    """
    if address is not None and metrics_port is not None:
        raise JobError("--metrics-port: only counts where Ray is started here; the cluster at --address has its own")
    loaded, budget = load_job(job, dated(overrides, date, time_zone)), Budget(max_rows, max_minutes)
    try:
        outcome = make(
            loaded,
            address,
            grace_seconds,
            log_format,
            budget=budget,
            wait=if_held is IfHeld.WAIT,
            metrics_port=metrics_port,
        )
    except HeldError as error:
        if if_held is not IfHeld.SKIP:
            raise
        with speaking(log_format) as voice:
            voice.say(f"Skipped: {error}", event="skipped")
        give({"status": "held", "error": str(error), "exit_code": int(Exit.DONE)}, as_json=as_json)
        raise typer.Exit(Exit.DONE) from None
    give(summary(outcome), as_json=as_json)
    raise typer.Exit(exit_code(outcome))


def make(
    job: Job,
    address: str | None = None,
    grace_seconds: float = GRACE_SECONDS,
    log_format: LogFormat = LogFormat.TEXT,
    *,
    budget: Budget = NO_BUDGET,
    wait: bool = False,
    metrics_port: int | None = None,
) -> RunOutcome:
    """Runs the job with progress on the terminal, and says how it ended; see `pipeline.run.generation`."""
    told: list[str] = []
    with speaking(log_format) as voice:

        def warn(text: str) -> None:
            if text not in told:
                voice.warn(text)
                told.append(text)

        with stop_on_signal(voice, grace_seconds) as stop, showing(voice, log_format) as show:
            outcome = run_job(
                job,
                address=address,
                stop=stop,
                budget=budget,
                wait=wait,
                metrics_port=metrics_port,
                on_progress=show,
                on_warning=warn,
            )
        voice.say(sentence(outcome, job.output.path), event="ended", status=outcome.status, run_id=outcome.plan.run_id)
        if outcome.throughput is not None:
            voice.say(bound_sentence(outcome.throughput), event="throughput", bound=outcome.throughput.bound)
        for warning in outcome.manifest.warnings if outcome.manifest else ():
            warn(warning)
    return outcome


def sentence(outcome: RunOutcome, path: str) -> str:
    """How the run ended, in one line."""
    shards = len(outcome.plan.shards)
    if outcome.status == "nothing to do":
        return f"Nothing to do: all {count(shards, 'shard')} of this run are in {path}"
    made = f"{count(outcome.shards_made, 'shard')}, {count(outcome.made.rows_out, 'row')} made"
    if outcome.manifest is None:
        return _stopped(outcome, made)
    totals = outcome.manifest.totals
    text = f"Done: {made}; {path} holds {count(totals.rows_out, 'row')}"
    if totals.attacked:
        text += f", {totals.success / totals.attacked:.1%} of the attacked rows fooled the model as stored"
    for name, (fooled, of) in transfer_rates(totals.signals).items():
        text += f", {fooled / of:.1%} fooled {name}"
    if totals.quarantined:
        text += f"; {count(totals.quarantined, 'row')} in quarantine (reasons in {path.rstrip('/')}/quarantine)"
    if outcome.manifest.failures:
        first = outcome.manifest.failures[0]
        text += f"; {count(len(outcome.manifest.failures), 'shard')} FAILED, such as {first.index}: {first.error}"
    return text


def _stopped(outcome: RunOutcome, made: str) -> str:
    """How a run was stopped, and what is left of it."""
    cause = {"max_rows": " by --max-rows", "max_minutes": " by --max-minutes"}.get(outcome.stopped_by or "", "")
    text = f"Stopped{cause}: {made}"
    if outcome.left is not None:
        text += f"; {count(outcome.left.shards, 'shard')} with {count(outcome.left.rows, 'row')} are left"
        if outcome.left.minutes is not None:
            text += f", about {outcome.left.minutes:,.1f} minutes of work"
    return text + "; start the same command again to go on"


def summary(outcome: RunOutcome) -> dict[str, Any]:
    """The same for machines."""
    totals = outcome.manifest.totals if outcome.manifest else outcome.made
    return {
        "status": outcome.status,
        "run_id": outcome.plan.run_id,
        "logical_date": outcome.plan.logical_date,
        "shards": len(outcome.plan.shards),
        "shards_made": outcome.shards_made,
        "failures": [f.model_dump() for f in outcome.manifest.failures] if outcome.manifest else [],
        "warnings": list(outcome.manifest.warnings) if outcome.manifest else [],
        "made": outcome.made.model_dump(),
        "totals": totals.model_dump(),
        "transfer": {n: {"fooled": f, "of": of} for n, (f, of) in transfer_rates(totals.signals).items()},
        "throughput": throughput_record(outcome.throughput),
        "changes": changes(outcome.plan),
        "stopped_by": outcome.stopped_by,
        "left": asdict(outcome.left) if outcome.left else None,
        "exit_code": int(exit_code(outcome)),
    }


def changes(plan: Plan) -> dict[str, Any] | None:
    """What changed in the source since the newest earlier run; at most 100 names of a kind, and how many there are."""
    return plan.changes.model_dump(mode="json") if plan.changes else None


def exit_code(outcome: RunOutcome) -> Exit:
    """What a scheduler is told."""
    if outcome.manifest is None:
        return Exit.STOPPED
    if outcome.manifest.failures or outcome.manifest.totals.quarantined:
        return Exit.PARTIAL
    return Exit.DONE
