"""What the functions take for a job: a path, a mapping, or one that is validated already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.evaluation_of_job import any_evaluation, evaluation_of, load_any_evaluation
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import load_job_file, parse_document

Place = str | PathLike[str]
Document = Place | Mapping[str, Any]
Overrides = Sequence[str] | Mapping[str, Any]
"""`key.path=value` texts as of `--set`, or values by key path."""

JOB = TypeVar("JOB", bound=Spec)


def load_job(job: Document | Job, overrides: Overrides = ()) -> Job:
    """The validated job of a YAML file or a mapping, with `overrides` laid over it.

    `overrides`: texts such as `"recipes.0.eps=4/255"`, or a mapping such as `{"recipes.0.eps": "4/255"}`.

    Raises JobError with one line per fault: where, key path, what it got, what it wants.

    >>> import hardset
    >>> job = hardset.load_job({
    ...     "name": "flipped",
    ...     "source": {"format": "digits", "limit": 100},
    ...     "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
    ...     "output": {"path": "flipped"},
    ... }, overrides=["source.limit=50"])
    >>> job.source.limit
    50
    """
    return _loaded(job, overrides, Job)


def load_evaluation(job: Document | EvaluationJob | Job, overrides: Overrides = ()) -> EvaluationJob:
    """The same for the job of an evaluation, which a generate job with a model is too: its model, on its source."""
    if isinstance(job, Job):
        return any_evaluation(evaluation_of(job), _texts(overrides), name="job")
    if isinstance(job, Mapping):
        return any_evaluation(dict(job), _texts(overrides), name="job")
    if isinstance(job, str | PathLike):
        return load_any_evaluation(Path(job), _texts(overrides))
    return _loaded(job, overrides, EvaluationJob)


def place_of(path: Place) -> str:
    """A folder as the pipeline takes it: a local path or any fsspec URL."""
    return path if isinstance(path, str) else str(Path(path))


def _loaded(job: Document | JOB, overrides: Overrides, kind: type[JOB]) -> JOB:
    texts = _texts(overrides)
    if isinstance(job, kind):
        if texts:
            # Its unset settings are written out: a new eps would leave the step size that came of the old one.
            raise JobError("overrides: this job is validated already; lay them over the file or mapping it came from")
        return job
    if isinstance(job, Mapping):
        return parse_document(dict(job), texts, kind, name="job")
    if isinstance(job, str | PathLike):
        return load_job_file(Path(job), texts, kind)
    raise JobError(f"job: got a {type(job).__name__}; wants a path, a mapping or a {kind.__name__}")


def _texts(overrides: Overrides) -> list[str]:
    if isinstance(overrides, str):
        raise JobError(f"overrides: got the text {overrides!r}; wants a list of such texts, or a mapping")
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value, default=str)}" for key, value in overrides.items()]
    return list(overrides)
