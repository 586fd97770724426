"""`hardset generate`: makes the dataset of a job, or what is missing of it."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import Exit, give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.gates import MinCleanAccuracy
from hardset.jobs.terminal.limits import IfHeld, MaxMinutes, MaxRows, WhenHeld
from hardset.jobs.terminal.options import AcceptClasses, AcceptColumns, AsJson, JobFile, Overrides, RayAddress
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds
from hardset.jobs.terminal.voice import LogFormat, Logs, speaking
from hardset.schemas.errors import HeldError, JobError

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
    address: RayAddress = None,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    metrics_port: MetricsPort = None,
    max_rows: MaxRows = None,
    max_minutes: MaxMinutes = None,
    min_clean_accuracy: MinCleanAccuracy = None,
    if_held: WhenHeld = IfHeld.FAIL,
    accept_classes: AcceptClasses = False,
    accept_columns: AcceptColumns = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write OUT/report.html once all is done: a pass over the rows.")
    ] = True,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Make the dataset of JOB, or whatever is missing of it.

    Reads the source and the weights that JOB names; writes shards, quarantine, manifest, dataset card and report
    below output.path. A second start does only what is missing. Returns 0 when all is done, 1 when a gate does not
    hold, 3 when rows were quarantined or shards failed, 4 when stopped, 5 when another run holds the output.
    """
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.telling.generate import make

    if address is not None and metrics_port is not None:
        raise JobError("--metrics-port: only counts where Ray is started here; the cluster at --address has its own")
    try:
        ended = make(
            load_job(job, dated(overrides, date, time_zone)),
            address,
            grace_seconds,
            log_format,
            max_rows=max_rows,
            max_minutes=max_minutes,
            wait=if_held is IfHeld.WAIT,
            metrics_port=metrics_port,
            accept_classes=accept_classes,
            accept_columns=accept_columns,
            min_clean_accuracy=min_clean_accuracy,
            report=report,
        )
    except HeldError as error:
        if if_held is not IfHeld.SKIP:
            raise
        with speaking(log_format) as voice:
            voice.say(f"Skipped: {error}", event="skipped")
        give({"status": "held", "error": str(error), "exit_code": int(Exit.DONE)}, as_json=as_json)
        raise typer.Exit(Exit.DONE) from None
    give(ended, as_json=as_json)
    raise typer.Exit(ended.exit_code)
