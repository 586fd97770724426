"""Runs a whole evaluation: plans it, checks it, makes the missing parts and computes the figures."""

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
from hardset.pipeline.evaluation.example_rows import examples_file
from hardset.pipeline.evaluation.gathered import SourceRows, gather, source_rows
from hardset.pipeline.evaluation.parts import PartStore
from hardset.pipeline.evaluation.pool import work_here, work_on_ray
from hardset.pipeline.evaluation.stored import EXAMPLES, RECORD, ROWS
from hardset.pipeline.evaluation.summary import make_record, rows_file
from hardset.pipeline.evaluation.training_data import training_parents
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.pipeline.statistics.shares import check_installed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.records.evaluation import Evaluation

_PROBE_ROWS = 16


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of an evaluation."""

    done: int
    parts: int


@dataclass(frozen=True)
class EvaluationOutcome:
    """Outcome of one start of an evaluation."""

    status: Literal["complete", "stopped", "nothing to do"]
    made: int
    """Number of parts made by this start."""
    parts: int
    record: Evaluation | None
    """Record of the evaluation; None if it was stopped."""


def evaluate(
    job: EvaluationJob,
    *,
    address: str | None = None,
    stop: Stop | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[EvaluationProgress], None] = lambda _: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> EvaluationOutcome:
    """Makes the parts of `job` that its output lacks, and writes evaluation.json and evaluation.parquet.

    One actor without an address works in this process; otherwise Ray does. Raises JobError for faults of the job,
    including leaks, before anything runs; RunError for failures of storage or workers.
    """
    check_installed()
    stop = stop or Stop()
    on_phase("reading the source")
    plan, store = make_plan(job), PartStore(Folder(job.output.path))
    before = read_record(store.folder, RECORD, Evaluation)
    if before is not None and before.evaluation_id == plan.evaluation_id and store.folder.exists(ROWS):
        return EvaluationOutcome("nothing to do", 0, len(plan.parts), before)
    store.folder.check_writable()
    on_phase("loading and trying the models")
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
    on_phase("gathering figures")
    found = gather(job, plan, rows, store)
    record = make_record(job, plan, rows, found, store, started=started, finished=now())
    store.folder.write(EXAMPLES, examples_file(job, plan, rows, found, store))
    store.folder.write(ROWS, rows_file(job, rows, found))
    store.folder.write(RECORD, sealed(record))
    return EvaluationOutcome("complete", made, of, record)


def _distinct(plan: EvaluationPlan) -> list[EvaluationPart]:
    """Parts without duplicates: models with the same weights and settings share their parts."""
    return list({part.key: part for part in plan.parts}.values())


def _check_before(worker: EvaluationWorker, rows: SourceRows, on_warning: Callable[[str], None]) -> None:
    """Checks all models on a few rows and looks for leaks, so that a fault costs seconds instead of hours."""
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
        for text in check_model(model, probe, worker.device, stochastic=job.stochastic, batch=job.run.batch):
            on_warning(text)
        if any(declaration_of(attack.name).gradient for attack in job.attacks):
            for text in check_gradient(model, probe, worker.device, batch=job.run.batch):
                on_warning(text)
    if rows.lost:
        on_warning(
            f"{rows.lost:,} rows of the source cannot be read and are in no figure; `hardset generate` names them"
        )
