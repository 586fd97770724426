"""A whole evaluation: plan, check, work off what is missing, put the figures together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hardset.pipeline.attacks.declared import declaration_of
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.records.seals import now, read_record, sealed
from hardset.pipeline.evaluation.doubts import check_leaks
from hardset.pipeline.evaluation.evaluation_plan import EvaluationPart, EvaluationPlan, make_plan
from hardset.pipeline.evaluation.evaluation_worker import EvaluationWorker
from hardset.pipeline.evaluation.example_rows import EXAMPLES, examples_file
from hardset.pipeline.evaluation.gathered import SourceRows, gather, source_rows
from hardset.pipeline.evaluation.parts import PartStore
from hardset.pipeline.evaluation.pool import work_here, work_on_ray
from hardset.pipeline.evaluation.summary import make_record, rows_file
from hardset.pipeline.evaluation.training_data import training_parents
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.pipeline.statistics.shares import check_installed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.records.evaluation import Evaluation

RECORD, ROWS = "evaluation.json", "evaluation.parquet"
_PROBE_ROWS = 16


@dataclass(frozen=True)
class EvaluationProgress:
    """How far an evaluation is."""

    done: int
    parts: int


@dataclass(frozen=True)
class EvaluationOutcome:
    """How a start of an evaluation ended."""

    status: Literal["complete", "stopped", "nothing to do"]
    made: int
    """Parts that this start made."""
    parts: int
    record: Evaluation | None
    """None where it was stopped."""


def evaluate(
    job: EvaluationJob,
    *,
    address: str | None = None,
    stop: Stop | None = None,
    on_progress: Callable[[EvaluationProgress], None] = lambda _: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> EvaluationOutcome:
    """Works off the parts of `job` that its output lacks, and writes evaluation.json and evaluation.parquet.

    One actor without an address works in this process; else Ray does. Raises JobError for what is wrong with the job,
    leaks among it, before anything runs; RunError for what storage or workers cannot do.
    """
    check_installed()
    stop = stop or Stop()
    plan, store = make_plan(job), PartStore(Folder(job.output.path))
    before = read_record(store.folder, RECORD, Evaluation)
    if before is not None and before.evaluation_id == plan.evaluation_id and store.folder.exists(ROWS):
        return EvaluationOutcome("nothing to do", 0, len(plan.parts), before)
    store.folder.check_writable()
    worker = EvaluationWorker(job, plan, driver_device(job.run), store)
    rows = source_rows(job, plan)
    _check_before(worker, rows, on_warning)
    started, present = now(), store.keys()
    missing = [part for part in _distinct(plan) if part.key not in present]
    made, of = 0, len(plan.parts)
    on_progress(EvaluationProgress(of - len(missing), of))
    here = address is None and job.run.actors == 1
    for _ in work_here(worker, missing, stop) if here else work_on_ray(job, plan, missing, stop, address):
        made += 1
        on_progress(EvaluationProgress(of - len(missing) + made, of))
    if made < len(missing):
        return EvaluationOutcome("stopped", made, of, None)
    found = gather(job, plan, rows, store)
    record = make_record(job, plan, rows, found, store, started=started, finished=now())
    store.folder.write(EXAMPLES, examples_file(job, plan, rows, found, store))
    store.folder.write(ROWS, rows_file(job, rows, found))
    store.folder.write(RECORD, sealed(record))
    return EvaluationOutcome("complete", made, of, record)


def read_evaluation(folder: Folder) -> Evaluation | None:
    """The record of the evaluation in a folder; None where there is none. Raises RunError where it was changed."""
    return read_record(folder, RECORD, Evaluation)


def _distinct(plan: EvaluationPlan) -> list[EvaluationPart]:
    """Two models with the same weights and settings share their parts."""
    return list({part.key: part for part in plan.parts}.values())


def _check_before(worker: EvaluationWorker, rows: SourceRows, on_warning: Callable[[str], None]) -> None:
    """Tries all models on a few rows, and looks for leaks, so that a fault costs seconds and not hours."""
    job = worker.job
    if not len(rows):
        raise JobError(f"source: none of the {rows.lost:,} rows of {worker.source.name} can be read")
    evaluated = dict(zip(rows.sha256, rows.keys, strict=True))
    datasets = {dataset for model in job.models for dataset in model.trained_on}
    check_leaks(evaluated, ((Folder(dataset).name, training_parents(dataset)) for dataset in sorted(datasets)))
    first = next(number for number, count in enumerate(rows.counts) if count)
    probe = worker.rows(first)[0].pixels[:_PROBE_ROWS]
    for position in range(len(job.models)):
        model = worker.model(position)
        check_model(model, probe, worker.device, stochastic=job.stochastic)
        if any(declaration_of(attack.name).gradient for attack in job.attacks):
            for text in check_gradient(model, probe, worker.device):
                on_warning(text)
    if rows.lost:
        on_warning(
            f"{rows.lost:,} rows of the source cannot be read and are in no figure; `hardset generate` names them"
        )
