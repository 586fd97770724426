"""`hardset evaluate`: how robust models are, measured by fresh attacks, with gates for nightly jobs."""

from __future__ import annotations

import typer

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.gates import Against, FailUnder, Tolerance
from hardset.jobs.terminal.options import AsJson, JobFile, Overrides, RayAddress
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds
from hardset.jobs.terminal.voice import LogFormat, Logs


def evaluate(
    job: JobFile,
    address: RayAddress = None,
    overrides: Overrides = None,
    fail_under: FailUnder = None,
    against: Against = None,
    tolerance: Tolerance = 0.01,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    as_json: AsJson = False,
) -> None:
    """Measure the models of JOB: clean and robust accuracy by fresh attacks, transfer, corruptions, shifts.

    JOB is the job file of an evaluation, or that of generate or harden: then its model is measured on its source, at
    the largest budget of each norm that the job attacks in. --set source.splits=[test] takes rows that it was not
    trained on.

    Reads the source and the weights that JOB names; writes evaluation.json, evaluation.parquet and the report
    below output.path.
    A second start does only what is missing. Needs scikit-learn (`pip install 'hardset[evaluate]'`). Returns 0 when
    all is done and every gate holds, 1 where a gate does not, 4 when stopped.
    """
    from hardset.jobs.api.inputs import load_evaluation
    from hardset.jobs.telling.evaluate import make

    done = make(
        load_evaluation(job, overrides or ()),
        address,
        grace_seconds,
        log_format,
        fail_under=fail_under or [],
        against=against,
        tolerance=tolerance,
    )
    give(done, as_json=as_json)
    raise typer.Exit(done.exit_code)
