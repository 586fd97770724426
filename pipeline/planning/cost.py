"""What the rows of a recipe cost at most, told from its declaration: gradients and queries of the model."""

from __future__ import annotations

from dataclasses import dataclass

from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.declared import declaration_of, resolved
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.recipes import Recipe, WorstOf


@dataclass(frozen=True)
class Cost:
    """Most passes of the model for one source row."""

    gradients: int = 0
    """Forward passes with a backward pass."""
    queries: int = 0
    """Forward passes alone."""


def most_of(recipe: Recipe, classes: int) -> Cost | None:
    """What a source row costs that no search breaks; None where a function or another library decides.

    `classes`: of the model. Raises JobError where code from elsewhere cannot be imported.
    """
    if isinstance(recipe, WorstOf):
        return Cost(queries=recipe.tries)
    if not isinstance(recipe, Attack):
        return Cost()
    declared, spec = declaration_of(recipe.name), resolved(recipe, classes)
    if declared.foreign:
        return None
    total = {True: 0, False: 0}
    for stage in stages_of(spec, classes):
        search = stage.search
        passes = search.steps * search.restarts * max(stage.targets, 1) * spec.variants * search.repeats
        total[search.schedule.needs_gradient] += passes
    return Cost(total[True], total[False])
