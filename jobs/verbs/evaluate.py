"""`hardset evaluate`: how robust models are, measured by fresh attacks, with gates for nightly jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hardset.jobs.terminal.console import AsJson, Exit, JobFile, Overrides, console, count, give, say
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds, stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, Logs, speaking
from hardset.jobs.verbs.generate import Address
from hardset.pipeline.dataset.records.seals import read_record
from hardset.pipeline.evaluation.evaluate import RECORD, EvaluationOutcome, EvaluationProgress, read_evaluation
from hardset.pipeline.evaluation.evaluate import evaluate as run_evaluation
from hardset.pipeline.evaluation.gates import failures, parse_gates, regressions
from hardset.pipeline.evaluation.summary import gate_figures, summary_line
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob, load_evaluation
from hardset.schemas.records.evaluation import Evaluation

FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="FIGURE=LEAST",
        help="Returns 1 where a figure is lower: clean, robust, worst_class, corruptions or shift; "
        "with several models MODEL:robust=0.45.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="BASELINE",
        help="An earlier evaluation.json, or its folder. Returns 1 where a model's figure fell below it.",
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(min=0, max=1, help="How far a figure may fall below the baseline, as a share; 0.01 is one point."),
]


def evaluate(
    job: JobFile,
    address: Address = None,
    overrides: Overrides = None,
    fail_under: FailUnder = None,
    against: Against = None,
    tolerance: Tolerance = 0.01,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    as_json: AsJson = False,
) -> None:
    """Measure the models of JOB: clean and robust accuracy by fresh attacks, transfer, corruptions, shifts.

    Reads the source and the weights that JOB names; writes evaluation.json and evaluation.parquet below output.path.
    A second start does only what is missing. Needs scikit-learn (`pip install 'hardset[evaluate]'`). Returns 0 when
    all is done and every gate holds, 1 where a gate does not, 4 when stopped.
    """
    declared = load_evaluation(job, overrides or [])
    gates = parse_gates(fail_under or [], gate_names(declared))
    baseline = None if against is None else read_baseline(against)
    outcome = make(declared, address, grace_seconds, log_format)
    if outcome.record is None:
        give({"status": "stopped", "exit_code": int(Exit.STOPPED)}, as_json=as_json)
        raise typer.Exit(Exit.STOPPED)
    figures = all_figures(outcome.record)
    failed = failures(figures, gates)
    if baseline is not None:
        failed += regressions(figures, all_figures(baseline), tolerance)
    for sentence in failed:
        say(f"FAILED: {sentence}")
    code = Exit.FAILED if failed else Exit.DONE
    give(summary(outcome, figures, failed, code), as_json=as_json)
    raise typer.Exit(code)


def make(
    job: EvaluationJob,
    address: str | None = None,
    grace_seconds: float = GRACE_SECONDS,
    log_format: LogFormat = LogFormat.TEXT,
) -> EvaluationOutcome:
    """Runs the evaluation with progress on the terminal, and tells the figures and warnings."""
    with speaking(log_format) as voice:
        with stop_on_signal(voice, grace_seconds) as stop, console.status("evaluate: planning") as shown:

            def show(progress: EvaluationProgress) -> None:
                shown.update(f"evaluate: {progress.done:,} of {count(progress.parts, 'part')}")

            outcome = run_evaluation(job, address=address, stop=stop, on_progress=show, on_warning=voice.warn)
        if outcome.record is not None:
            for model in outcome.record.models:
                figures = gate_figures(model)
                voice.say(summary_line(outcome.record, model), event="figures", model=model.name, **figures)
            for finding in outcome.record.warnings:
                voice.warn(f"{finding.model}: {finding.text}", kind=finding.kind, model=finding.model)
        voice.say(sentence(outcome, public_name(job.output.path)), event="ended", status=outcome.status)
    return outcome


def sentence(outcome: EvaluationOutcome, path: str) -> str:
    """How the evaluation ended, in one line."""
    if outcome.record is None:
        return (
            f"Stopped: {outcome.made:,} of {count(outcome.parts, 'part')} made; start the same command again to go on"
        )
    if outcome.status == "nothing to do":
        return f"Nothing to do: all {count(outcome.parts, 'part')} are in {path}"
    return f"Done: {count(outcome.made, 'part')} made of {outcome.parts:,}; `hardset report {path}` shows them"


def gate_names(job: EvaluationJob) -> tuple[str, ...]:
    """The figures that gates may name, before there are any."""
    names = ["clean", "robust", "worst_class"]
    names += ["corruptions"] if job.corruptions and job.severities else []
    names += ["shift"] if job.shifts else []
    if len(job.models) == 1:
        return tuple(names)
    return tuple(f"{model.name}:{name}" for model in job.models for name in names)


def all_figures(record: Evaluation) -> dict[str, float]:
    """The figures of all models under the names that gates use."""
    if len(record.models) == 1:
        return gate_figures(record.models[0])
    return {f"{model.name}:{name}": value for model in record.models for name, value in gate_figures(model).items()}


def read_baseline(place: str) -> Evaluation:
    """The evaluation in a file or folder. Raises JobError where there is none."""
    record = read_evaluation(Folder(place))
    if record is None and Path(place).name:
        head, slash, name = place.rpartition("/")
        record = read_record(Folder(head + slash or "."), name, Evaluation)
    if record is None:
        raise JobError(f"--against {public_name(place)}: no evaluation is there; name an {RECORD}, or its folder")
    return record


def summary(outcome: EvaluationOutcome, figures: dict[str, float], failed: Sequence[str], code: Exit) -> dict[str, Any]:
    """The same for machines."""
    assert outcome.record is not None
    return {
        "status": "failed" if failed else outcome.status,
        "evaluation_id": outcome.record.evaluation_id,
        "parts": outcome.parts,
        "parts_made": outcome.made,
        "rows": outcome.record.rows.count,
        "figures": figures,
        "warnings": [finding.model_dump() for finding in outcome.record.warnings],
        "failed": list(failed),
        "exit_code": int(code),
    }
