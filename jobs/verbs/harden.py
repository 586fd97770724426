"""`hardset harden`: rounds of generate, train and measure, and a gate at their end."""

from __future__ import annotations

import typer

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.gates import Against, FailUnder, Tolerance
from hardset.jobs.terminal.options import AsJson, JobFile, Overrides, RayAddress
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds
from hardset.jobs.terminal.voice import LogFormat, Logs


def harden(
    job: JobFile,
    fail_under: FailUnder = None,
    against: Against = None,
    tolerance: Tolerance = 0.01,
    address: RayAddress = None,
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
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.telling.harden import make

    hardened = make(
        load_job(job, dated(overrides, date, time_zone)),
        address,
        grace_seconds,
        log_format,
        fail_under=fail_under or [],
        against=against,
        tolerance=tolerance,
    )
    give(hardened, as_json=as_json)
    raise typer.Exit(hardened.exit_code)
