"""`hardset doctor`: whether a job can run here, or on a cluster, told before it is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hardset.jobs.machine.machine_checks import (
    device_check,
    extra_checks,
    libraries_check,
    memory_check,
    python_check,
    shared_memory_check,
    torch_fault,
)
from hardset.schemas.errors import UserError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.evaluation_of_job import is_evaluation
from hardset.schemas.job.extras import needed_extras
from hardset.schemas.job.job import Job
from hardset.schemas.reading.documents import read_job_file
from hardset.schemas.reading.loading import parse_document
from hardset.schemas.records.examination import Check, Examined


def examine(
    job: Path | None = None,
    *,
    overrides: Sequence[str] = (),
    address: str | None = None,
    on_check: Callable[[Check], None] = lambda _: None,
) -> Examined:
    """Looks at Python, libraries, devices, memory, Ray, extras, and the places of a job, and never raises for any.

    `address`: of a Ray cluster, whose nodes are then held against this interpreter; None: Ray is started here and
    ended. `on_check` is told each check once it is made. Reads listings, a row and weights; writes and deletes a probe
    below the job's output.
    """
    found: list[Check] = []
    for check in _checks(job, overrides, address):
        on_check(check)
        found.append(check)
    return Examined.of(tuple(found))


def _checks(path: Path | None, overrides: Sequence[str], address: str | None) -> Iterator[Check]:
    yield python_check()
    yield libraries_check()
    job: Job | EvaluationJob | None = None
    if path is not None:
        try:
            job = job_of_any_kind(path, overrides)
            kind = "an evaluation" if isinstance(job, EvaluationJob) else "a job"
            yield Check(name="job", state="ok", told=f"{path}: {kind} that can be read, {job.name}")
        except UserError as error:
            yield Check(name="job", state="failed", told="; ".join(str(error).splitlines()))
    needed = needed_extras(job) if job is not None else {}
    yield from extra_checks(needed)
    run = None if job is None else job.run
    fault = torch_fault()
    if fault is not None:
        told, remedy = f"torch cannot be loaded: {fault}", "install torch again, for this machine's CUDA"
        yield Check(name="devices", state="failed", told=told, remedy=remedy)
        yield shared_memory_check()
        yield memory_check()
        return
    yield device_check(run if address is None else None)
    yield shared_memory_check()
    from hardset.jobs.machine.cluster_checks import cluster_checks, local_checks  # noqa: PLC0415 - it loads Ray
    from hardset.jobs.machine.job_checks import place_checks  # noqa: PLC0415

    if job is not None:
        yield from place_checks(job)
    if run is not None and run.here:
        yield Check(name="ray", state="absent", told="run.actors is 0: the command's own process does the work")
        yield memory_check()
    elif address is None:
        yield from local_checks(run)
    else:
        yield from cluster_checks(address, job, run)
        yield memory_check()


def job_of_any_kind(path: Path, overrides: Sequence[str] = ()) -> Job | EvaluationJob:
    """The job of a file, of an evaluation where it has that one's keys. Raises JobError."""
    document = read_job_file(path)
    kind: type[Job | EvaluationJob] = EvaluationJob if is_evaluation(document) else Job
    return parse_document(document, overrides, kind, name=str(path))
