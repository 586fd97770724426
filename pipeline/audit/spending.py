"""The most steps and queries that an attack's settings allow one row."""

from __future__ import annotations

from typing import NamedTuple

from hardset.schemas.job.attack_declaration import Part
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS


class Spending(NamedTuple):
    """Limits of one row."""

    steps: int
    queries: int


def most_spent(recipe: Attack, classes: int) -> Spending | None:
    """Limits of the columns `steps` and `queries` of a resolved attack; None for one from elsewhere."""
    declared = ATTACKS.get(recipe.name)
    if declared is None:
        return None
    steps = queries = 0
    for part in declared.parts_in(recipe.norm) or (Part(recipe.name, recipe.steps or 1, recipe.targets or 0),):
        attack = ATTACKS[part.name]
        passes = _passes(part.steps, recipe) * _searches(recipe, part, classes)
        if attack.gradient:
            steps += passes * recipe.eot * (recipe.scales or 1)
        queries += passes  # also with gradients, where these are asked for elsewhere than at the iterate
    return Spending(steps, queries)


def _passes(steps: int, recipe: Attack) -> int:
    """Passes of one search: one for each step where it goes on after a fall.

    Where it does not, a pass may find a fall that the judge does not confirm, and another is made at the same step.
    """
    return steps if recipe.stop == "never" else 2 * (steps + 1)


def _searches(recipe: Attack, part: Part, classes: int) -> int:
    attack, targeted = ATTACKS[part.name], recipe.target is not None
    turns = 1 if targeted or part.on else attack.turns
    targets = min(recipe.targets or part.targets, classes - 1) if attack.towards else 0
    return recipe.restarts * turns * max(1, targets)
