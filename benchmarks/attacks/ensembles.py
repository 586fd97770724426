"""Rows of the ensembles `standard` and `fast` on a subject, made once for all tables."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from benchmarks.attacks.context import Context
from benchmarks.attacks.ours import Mode, make, recipe_of

from hardset.pipeline.batches import MadeRows
from hardset.schemas.job.recipes import Attack

BATCH = 250


@lru_cache
def ensemble_rows(context: Context, model: str, rows: int, name: str, eps: Fraction) -> MadeRows:
    """Stored rows of the ensemble and their columns, as a job makes them."""
    subject = context.subject(model, rows)
    spec = Attack(name=name, eps=str(eps)).resolved(subject.classes)
    return make(recipe_of(subject, spec, Mode(), min(BATCH, rows), context.device), subject)
