"""The job of a plan as its records mean it, whichever version of hardset wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Attack
from hardset.schemas.records.run import Plan


def recorded_job(plan: Plan) -> Job:
    """The job of a plan. Raises ValidationError where it is none.

    Attacks with several budgets that say nothing of `chain` are chained: versions before 0.2.0 knew nothing else, and
    this one always writes it.
    """
    recipes = plan.job.get("recipes")
    if not isinstance(recipes, list):
        return Job.model_validate(plan.job)
    return Job.model_validate({**plan.job, "recipes": [_chained(recipe) for recipe in recipes]})


def _chained(recipe: Any) -> Any:
    if isinstance(recipe, dict) and recipe.get("kind") == "attack" and isinstance(recipe.get("eps"), list):
        return {"chain": True, **recipe}
    return recipe


def recorded_op(recorded: Mapping[str, Any], recipe: Attack) -> str:
    """Value of the column `op` of an attack's rows. `recorded`: the recipe as the records have it.

    Where they say nothing of `chain`, a version that told no chain by the op has written it.
    """
    return recipe.op if "chain" in recorded else recipe.model_copy(update={"chain": None}).op
