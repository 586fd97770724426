"""Warnings about a job whose settings are valid, but cannot do what they seem to ask for."""

from __future__ import annotations

from fractions import Fraction

from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.job import Job
from hardset.schemas.job.quantities import Range, whole_levels

_LOST = "stored unchanged and not successful"


def job_warnings(job: Job) -> tuple[str, ...]:
    """Warnings of a job before anything runs, one sentence each, beginning with the key."""
    return tuple(
        f"recipes.{position}.{text}"
        for position, recipe in enumerate(job.recipes)
        if isinstance(recipe, Attack)
        for text in (_budget(recipe), _few_classes(recipe, job.model.classes if job.model else None))
        if text
    )


def _budget(attack: Attack) -> str | None:
    """Warning about budgets below 1/255, the cost of changing one value by one level in every norm."""
    eps = attack.eps
    if isinstance(eps, Range):
        if _moves(eps.min):
            return None
        which = "rows that draw less than one will be" if _moves(eps.max) else "every row will be"
        return f"eps: the range starts at {eps.min}, {_below(eps.min)}: {which} {_LOST}"
    if isinstance(eps, tuple):
        small = [value for value in eps if not _moves(value)]
        rows = ", ".join(map(str, small))
        return f"eps: {small[-1]} is {_below(small[-1])}: every row made with {rows} will be {_LOST}" if small else None
    return None if _moves(eps) else f"eps: {eps} is {_below(eps)}: every row will be {_LOST}"


def _moves(eps: Fraction) -> bool:
    return whole_levels(float(eps)) > 0


def _below(eps: Fraction) -> str:
    return "less than one 8-bit level (1/255), so no pixel can move" if eps else "no budget, so no pixel can move"


def _few_classes(attack: Attack, classes: int | None) -> str | None:
    """Warning if the model has too few classes for the difference of logits ratio.

    It divides by the gap to the third logit, and in its targeted form by the gap to the fourth.
    """
    named = ATTACKS.get(attack.name)
    searches = [] if named is None else [ATTACKS[name] for name in named.stages] or [named]
    aims = attack.target is not None or any(one.towards for one in searches)
    divides = attack.objective == "dlr" or any(one.loss == "dlr" for one in searches)
    if not divides or classes is None or classes >= (4 if aims else 3):
        return None
    key = "objective: dlr" if attack.objective == "dlr" else f"name: {attack.name}"
    wanted = "4 classes or more, since it aims at classes" if aims else "3 classes or more"
    return f"{key} wants {wanted}; the model has {classes}, so its loss falls back to the margin"
