"""Pools of partners in a plan: those of the night before while their rows are unchanged, new ones else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hardset.pipeline.planning.changes import Earlier
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.partners import choose_partners, read_partners
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.operations.table import needs_partner
from hardset.schemas.job.recipes import Augment, Recipe
from hardset.schemas.records.run import Image, PartnerPool, SourceRange


def mixing(recipe: Recipe) -> bool:
    """Whether a recipe draws partners."""
    return isinstance(recipe, Augment) and any(map(needs_partner, recipe.ops))


def pooled(recipe: Recipe, pools: Sequence[PartnerPool]) -> dict[str, Any]:
    """What pools add to the determinants of a recipe's shards: nothing where it draws no partners."""
    return {"partners": [[pool.split, pool.digest] for pool in pools]} if mixing(recipe) else {}


def planned_partners(
    job: Job,
    source: SourceReader,
    ranges: Sequence[SourceRange],
    image: Image,
    classes: int,
    earlier: Earlier | None,
) -> tuple[PartnerPool, ...]:
    """The pool of each split, where a recipe mixes. Raises JobError where a split has too few rows or classes."""
    if not any(map(mixing, job.recipes)):
        return ()
    before = {} if earlier is None else {pool.split: pool for pool in earlier.plan.partners}
    splits = dict.fromkeys(part.split for part in ranges if not part.kept)
    return tuple(
        before[split]
        if split in before and _unchanged(before[split], source, image, classes)
        else choose_partners(source, ranges, split, image, classes, job.seed)
        for split in splits
    )


def _unchanged(pool: PartnerPool, source: SourceReader, image: Image, classes: int) -> bool:
    try:
        return len(read_partners(source, pool, image, classes)) > 1
    except (RunError, JobError, OSError, ValueError):
        return False
