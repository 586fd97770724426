"""`hardset harden`: rounds of generate, train and measure, and a gate at their end."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hardset.jobs.terminal.console import AsJson, Exit, JobFile, Overrides, count, give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds, stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, Logs, Voice, speaking
from hardset.jobs.verbs.generate import Address
from hardset.pipeline.evaluation.gates import Gate, failures, parse_gates, regressions
from hardset.pipeline.hardening.loop import HardeningOutcome
from hardset.pipeline.hardening.loop import harden as run_loop
from hardset.pipeline.hardening.promotion import KNOWN, baseline, promote
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import load_job
from hardset.schemas.records.hardening import Figures, Hardening, Round, Start

FailUnder = Annotated[
    list[str] | None,
    typer.Option(help="Least of a figure of the hardened model, such as robust=0.45 or clean=90%; else exit 1."),
]
Against = Annotated[
    str | None,
    typer.Option(
        help="An earlier output folder or record; a figure that fell by more than --tolerance ends in exit 1."
    ),
]
Tolerance = Annotated[
    float, typer.Option(help="Points in [0, 1] that a figure may fall below --against.", min=0, max=1)
]


def harden(
    job: JobFile,
    fail_under: FailUnder = None,
    against: Against = None,
    tolerance: Tolerance = 0.01,
    address: Address = None,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Harden the model of JOB in rounds: generate rows against it, train on them, measure it by fresh attacks.

    Reads source and weights; writes the rows of every round, a record and weights per round, and the hardened weights,
    below output.path. A second start goes on at the round where the first stopped. Returns 0 when the model passed, 1
    when a gate failed (its weights are then not promoted), 4 when stopped.
    """
    gates = parse_gates(fail_under or [], KNOWN)
    before = None if against is None else baseline(against)
    loaded = load_job(job, dated(overrides, date, time_zone))
    with speaking(log_format) as voice:
        outcome = run(loaded, address, voice, grace_seconds)
        result = finish(loaded, outcome, voice, gates, before, tolerance)
    give(result, as_json=as_json)
    raise typer.Exit(result["exit_code"])


def run(job: Job, address: str | None, voice: Voice, grace_seconds: float) -> HardeningOutcome:
    """Runs the loop, with a line for each round."""
    told: list[str] = []

    def warn(text: str) -> None:
        if text not in told:
            voice.warn(text)
            told.append(text)

    def show(one: Start | Round, rounds: int) -> None:
        voice.say(line_of(one, rounds), event="round", round=getattr(one, "number", 0), **one.validation.shares())

    with stop_on_signal(voice, grace_seconds) as stop:
        return run_loop(job, address=address, stop=stop, on_round=show, on_warning=warn)


def finish(
    job: Job,
    outcome: HardeningOutcome,
    voice: Voice,
    gates: tuple[Gate, ...],
    before: dict[str, float] | None,
    tolerance: float,
) -> dict[str, Any]:
    """Says how the loop ended, holds it against its gates and promotes its weights; the answer for machines."""
    record = outcome.record
    if record is None:
        made = count(outcome.rounds_made, "round")
        voice.say(f"Stopped after {made}; start the same command again to go on", event="ended", status="stopped")
        return {"status": "stopped", "loop_id": outcome.home.loop_id, "exit_code": int(Exit.STOPPED)}
    voice.say(sentence(record), event="ended", status=outcome.status, loop_id=record.loop_id)
    for warning in record.warnings:
        voice.warn(warning)
    figures = record.after.shares()
    faults = failures(figures, gates) + (regressions(figures, before, tolerance) if before is not None else [])
    for fault in faults:
        voice.say(f"FAILED: {fault}", event="gate_failed")
    weights = None
    if not faults:
        weights = public_name(promote(job, outcome.home, record))
        voice.say(f"Weights: {weights}", event="promoted", weights=weights)
    return {
        "status": outcome.status,
        "loop_id": record.loop_id,
        "rounds": record.rounds,
        "ended_by": record.ended_by,
        "best": record.best,
        "judged_on": record.judged_on,
        "before": record.before.shares(),
        "after": figures,
        "gradients": record.gradients,
        "weights": weights,
        "sha256": record.weights.sha256,
        "failed": faults,
        "warnings": list(record.warnings),
        "exit_code": int(Exit.FAILED if faults else Exit.DONE),
    }


def line_of(one: Start | Round, rounds: int) -> str:
    """What a round came to."""
    told = _figures(one.validation)
    if isinstance(one, Start):
        return f"start: {told} (validation)"
    shard = f", {one.shard.value:.1%} of its own shard" if one.shard else ""
    cost = f"{one.training_gradients:,} gradients, {one.seconds:.0f} s"
    return f"round {one.number} of {rounds}: {told}{shard}; loss {one.loss:.3f}, {cost}"


def sentence(record: Hardening) -> str:
    """How the loop ended, in one line."""
    after = {"rounds": "", "gradients": " (budget of gradients)", "rows": " (budget of rows)"}
    ended = after.get(record.ended_by, " (budget of minutes)")
    return (
        f"Done after {count(record.rounds, 'round')}{ended}: round {record.best} is the best; "
        f"{_figures(record.after)}, before {_figures(record.before)} ({record.judged_on})"
    )


def _figures(figures: Figures) -> str:
    return f"robust {figures.robust.value:.1%}, clean {figures.clean.value:.1%}"
