"""A run with its progress on the terminal, and how it ended."""

from __future__ import annotations

from hardset.jobs.api.generation import generate
from hardset.jobs.api.trusting import trust_of
from hardset.jobs.telling.next_steps import report_of, tell_next
from hardset.jobs.terminal.console import count
from hardset.jobs.terminal.progress import showing
from hardset.jobs.terminal.stopping import GRACE_SECONDS, stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, speaking
from hardset.schemas.job.job import Job
from hardset.schemas.records.results import Ended


def make(
    job: Job,
    address: str | None = None,
    grace_seconds: float = GRACE_SECONDS,
    log_format: LogFormat = LogFormat.TEXT,
    *,
    max_rows: int | None = None,
    max_minutes: float | None = None,
    wait: bool = False,
    metrics_port: int | None = None,
    accept_classes: bool = False,
    accept_columns: bool = False,
    min_clean_accuracy: float | None = None,
    report: bool = True,
) -> Ended:
    """Runs the job with progress on the terminal until it ends or a signal stops it, and says how it ended.

    `report`: whether a finished run's report is written, and told with what one does next.
    """
    told: set[str] = set()
    with speaking(log_format) as voice:

        def warn(text: str) -> None:
            voice.warn(text)
            told.add(text)

        with stop_on_signal(voice, grace_seconds) as stop, showing(voice, log_format) as show:
            ended = generate(
                job,
                address=address,
                stop=stop,
                max_rows=max_rows,
                max_minutes=max_minutes,
                wait=wait,
                metrics_port=metrics_port,
                accept_classes=accept_classes,
                accept_columns=accept_columns,
                min_clean_accuracy=min_clean_accuracy,
                phase=show.phase,
                progress=show,
                on_warning=warn,
            )
        voice.say(sentence(ended, job.output.path), event="ended", status=ended.status, run_id=ended.run_id)
        if ended.throughput is not None:
            voice.say(ended.throughput.told, event="throughput", bound=ended.throughput.bound)
        for warning in ended.warnings:
            if warning not in told:
                warn(warning)
        if report and ended.status != "stopped":
            anew, out = ended.status != "nothing to do", job.output.path
            ended = ended.model_copy(update={"report": report_of(out, voice, trust_of(job), anew=anew)})
            tell_next(out, ended.report, voice)
    return ended


def sentence(ended: Ended, path: str) -> str:
    """How the run ended, in one line."""
    if ended.status == "nothing to do":
        return f"Nothing to do: all {count(ended.shards, 'shard')} of this run are in {path}"
    made = f"{count(ended.shards_made, 'shard')}, {count(ended.made.rows_out, 'row')} made"
    if ended.status == "stopped":
        return _stopped(ended, made)
    totals = ended.totals
    text = f"Done: {made}; {path} holds {count(totals.rows_out, 'row')}"
    if totals.success_rate is not None:
        text += f", {totals.success_rate:.1%} of the attacked rows fooled the model as stored"
    for name, rate in ended.transfer.items():
        text += f", {rate.fooled / rate.of:.1%} fooled {name}"
    if ended.clean is not None:
        text += f"; clean accuracy {ended.clean} on {count(ended.clean.judged, 'sampled row')}"
    for one in ended.admitted:
        text += f"; generator of recipe {one.recipe + 1}: {one}"
    if totals.quarantined:
        text += (
            f"; {count(totals.quarantined, 'row')} in quarantine (reasons in {path.rstrip('/')}/_hardset/quarantine)"
        )
    if ended.failures:
        first = ended.failures[0]
        text += f"; {count(len(ended.failures), 'shard')} FAILED, such as {first.index}: {first.error}"
    return text


def _stopped(ended: Ended, made: str) -> str:
    """How a run was stopped, and what is left of it."""
    cause = {"max_rows": " by --max-rows", "max_minutes": " by --max-minutes"}.get(ended.stopped_by or "", "")
    text = f"Stopped{cause}: {made}"
    if ended.left is not None:
        text += f"; {count(ended.left.shards, 'shard')} with {count(ended.left.rows, 'row')} are left"
        if ended.left.minutes is not None:
            text += f", about {ended.left.minutes:,.1f} minutes of work"
    return text + "; start the same command again to go on"
