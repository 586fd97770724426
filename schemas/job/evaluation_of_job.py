"""The evaluation of the model of a generate or harden job, on its source, under the budgets of its attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hardset.schemas.errors import JobError
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.evaluation import NOT_OF_PARTS, EvaluationJob, EvaluationRun, parse_evaluation
from hardset.schemas.job.job import Job
from hardset.schemas.job.quantities import bounds
from hardset.schemas.job.worst_of import NaturalChanges, WorstOf
from hardset.schemas.reading.documents import read_job_file
from hardset.schemas.reading.loading import parse_document

USUAL_EPS = "8/255"
"""Budget under Linf where the job attacks nothing."""
_OWN = {"models", "threats"}
"""Keys that an evaluation must have, and no other job has."""
_OTHERS = {"recipes", "model", "harden", "train"}
"""Keys that no evaluation has."""


def is_evaluation(document: Mapping[str, Any]) -> bool:
    """Whether a job file is that of an evaluation."""
    return bool(_OWN & set(document)) or not _OTHERS & set(document)


def any_evaluation(document: dict[str, Any], overrides: Sequence[str], *, name: str) -> EvaluationJob:
    """The evaluation of a mapping, or of the model of the generate job that it holds.

    `overrides` of keys that only a generate job has, such as `model.weights`, count before it is made an evaluation,
    and all others after. Raises JobError with one line per fault, each beginning with `name`.
    """
    if is_evaluation(document):
        return parse_evaluation(document, overrides, name=name)
    before = [override for override in overrides if _top(override) not in EvaluationJob.model_fields]
    after = [override for override in overrides if override not in before]
    job = parse_document(document, before, Job, name=name)
    return parse_evaluation(evaluation_of(job, name=name), after, name=name)


def evaluation_of(job: Job, *, name: str = "job") -> dict[str, Any]:
    """Document of the evaluation of a job's model: fresh attacks at the largest budget of each norm that it attacks in.

    Its natural changes are measured, too.

    Raises JobError for a job without a model.
    """
    if job.model is None:
        raise JobError(f"{name}: has no model to evaluate; add a model section")
    threats: dict[str, Any] = {}
    for recipe in job.recipes:
        if isinstance(recipe, Attack) and (high := bounds(recipe.eps)[1]) > 0:
            threats[recipe.norm] = max(high, threats.get(recipe.norm, high))
    run = job.run.model_dump(mode="json", include=set(EvaluationRun.model_fields) - set(NOT_OF_PARTS))
    run["actors"] = job.run.most_actors
    return {
        "name": job.name,
        "seed": job.seed,
        "source": job.source.model_dump(mode="json"),
        "classes": job.model.classes,
        "models": [{"name": "model", **job.model.model_dump(mode="json", exclude={"classes"})}],
        "worst_of": [
            recipe.model_dump(mode="json", include=set(NaturalChanges.model_fields))
            for recipe in job.recipes
            if isinstance(recipe, WorstOf)
        ],
        "threats": [{"norm": norm, "eps": str(eps)} for norm, eps in threats.items()] or [{"eps": USUAL_EPS}],
        "output": {"path": job.output.path},
        "run": run,
    }


def load_any_evaluation(path: Any, overrides: Sequence[str] = ()) -> EvaluationJob:
    """The same of a YAML file."""
    return any_evaluation(read_job_file(path), overrides, name=str(path))


def _top(override: str) -> str:
    return override.partition("=")[0].strip().partition(".")[0]
