"""What the rows of a recipe cost at most, told from its declaration: gradients and queries of the model."""

from __future__ import annotations

from dataclasses import dataclass

from hardset.pipeline.attacks.declared import declaration_of, resolved
from hardset.schemas.job.attack_declaration import Part
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
    budgets = len(spec.eps) if isinstance(spec.eps, tuple) else 1
    total = {True: 0, False: 0}
    for part in declared.parts_in(spec.norm) or (Part(spec.name, spec.steps or 1, spec.targets or 0),):
        attack = declaration_of(part.name)
        targets = min(spec.targets or part.targets, classes - 1) if attack.towards else 0
        turns = 1 if spec.target is not None or part.on else attack.turns
        searches = spec.restarts * turns * max(targets, 1)
        total[attack.gradient] += part.steps * searches * budgets * spec.eot
    return Cost(total[True], total[False])
