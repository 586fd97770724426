"""`hardset.evaluate`: how robust models are, measured by fresh attacks, with gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hardset.jobs.api.hearing import Warn, nothing, warner
from hardset.jobs.api.inputs import Document, Overrides, load_evaluation
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.dataset.records.seals import read_record
from hardset.pipeline.evaluation.evaluate import EvaluationProgress
from hardset.pipeline.evaluation.evaluate import evaluate as run_evaluation
from hardset.pipeline.evaluation.gates import failures, parse_gates, regressions
from hardset.pipeline.evaluation.stored import RECORD, read_evaluation
from hardset.pipeline.evaluation.summary import gate_figures
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.job import Job
from hardset.schemas.records.evaluation import Evaluation
from hardset.schemas.records.results import Evaluated


def evaluate(
    job: Document | EvaluationJob | Job,
    *,
    overrides: Overrides = (),
    address: str | None = None,
    fail_under: Sequence[str] = (),
    against: str | None = None,
    tolerance: float = 0.01,
    phase: Callable[[str], None] = nothing,
    progress: Callable[[EvaluationProgress], None] = nothing,
    on_warning: Warn | None = None,
    stop: Stop | None = None,
) -> Evaluated:
    """Measures the models of a job: what `hardset evaluate` does, and prints with --json.

    Of a generate job it measures the model on its source, at the largest budget of each norm that the job attacks in.
    One actor works in this process, more on Ray, as for `hardset.generate`. `fail_under`: gates such as
    `"robust=0.45"`; `against`: an earlier evaluation.json or its folder, whose figures may fall by `tolerance`, a share
    in [0, 1]. A gate that does not hold makes the status `failed` and raises nothing. `phase` is called with what
    begins, `progress` after each part, `on_warning` with each warning once; without it, warnings go to the logger
    `hardset`.

    Raises JobError for what is wrong with the job or a gate, RunError for what storage or workers cannot do.

    >>> import hardset
    >>> evaluated = hardset.evaluate({
    ...     "name": "measured",
    ...     "source": {"format": "digits", "limit": 20},
    ...     "classes": 10,
    ...     "models": [{
    ...         "name": "small",
    ...         "factory": "hardset.pipeline.models.zoo:small_cnn",
    ...         "weights": "demo/model.safetensors",
    ...     }],
    ...     "threats": [{"eps": "8/255"}],
    ...     "attacks": [{"name": "fgsm"}],
    ...     "output": {"path": "measured"},
    ...     "run": {"actors": 1},
    ... })
    >>> evaluated.status, evaluated.figures["robust"] <= evaluated.figures["clean"]
    ('complete', True)
    """
    declared = load_evaluation(job, overrides)
    gates = parse_gates(fail_under, gate_names(declared))
    baseline = None if against is None else read_baseline(against)
    outcome = run_evaluation(
        declared,
        address=address,
        stop=stop,
        on_phase=phase,
        on_progress=progress,
        on_warning=warner(on_warning),
    )
    record = outcome.record
    if record is None:
        return Evaluated(
            status="stopped",
            evaluation_id=None,
            parts=outcome.parts,
            parts_made=outcome.made,
            rows=None,
            figures={},
            warnings=(),
            failed=(),
            exit_code=4,
        )
    figures = all_figures(record)
    failed = failures(figures, gates)
    if baseline is not None:
        failed += regressions(figures, all_figures(baseline), tolerance)
    return Evaluated(
        status="failed" if failed else outcome.status,
        evaluation_id=record.evaluation_id,
        parts=outcome.parts,
        parts_made=outcome.made,
        rows=record.rows.count,
        figures=figures,
        warnings=record.warnings,
        failed=tuple(failed),
        exit_code=1 if failed else 0,
    )


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
