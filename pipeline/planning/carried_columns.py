"""User columns of a plan: their types, held against the run before, and those that rows cannot carry truthfully."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pyarrow as pa

from hardset.pipeline.augment.table import settled
from hardset.pipeline.planning.changes import Earlier
from hardset.pipeline.sources.base import SourceReader, user_types_of
from hardset.pipeline.sources.user_values import common_type
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import operations_of
from hardset.schemas.job.sources import ImageSource
from hardset.schemas.records.run import Manifest, Plan
from hardset.schemas.rows.user_columns import recorded_columns, user_columns

_PLACED = re.compile(
    r"(?:^|_)(?:b?box(?:es)?|bounding_?box(?:es)?|masks?|segmentations?|segments?|polygons?|key_?points?|landmarks?)(?:_|$)"
)
"""Names of columns whose values are places in the image, in words apart or joined by underscores."""
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+")


def planned_columns(job: Job, source: SourceReader, earlier: Earlier | None) -> dict[str, str]:
    """Names and types of the columns that rows carry.

    A type that the earlier run had and that holds all values of now stays, so that a night of smaller numbers changes
    nothing. Raises JobError where the source lacks a column, a name clashes, or a recipe would make a value untrue.
    """
    types = user_types_of(source)
    before = {} if earlier is None else _types(earlier.plan.user_columns)
    found = {name: _stable(kind, before.get(name)) for name, kind in types.items()}
    user_columns(found)
    _check_places(job, found)
    return {name: str(kind) for name, kind in found.items()}


def check_columns(plan: Plan, earlier: Manifest | None, *, accept: bool) -> None:
    """Raises JobError, which shows both, where a column has another type than in the newest run of the job.

    `accept`: whether the user accepts that.
    """
    before = {} if earlier is None else earlier.user_columns
    for name, kind in plan.user_columns.items():
        if earlier is not None and not accept and before.get(name, kind) != kind:
            raise JobError(
                f"source.keep: the column {name!r} was {before[name]} in run {earlier.run_id} and is {kind} now; mend "
                "the source, or go on with --accept-columns, which makes all rows anew"
            )


def _types(recorded: Mapping[str, str]) -> dict[str, pa.DataType]:
    return {column.name: column.type for column in recorded_columns(recorded)}


def _stable(now: pa.DataType, before: pa.DataType | None) -> pa.DataType:
    return before if before is not None and common_type(now, before) == before else now


def _check_places(job: Job, found: Mapping[str, pa.DataType]) -> None:
    """Raises JobError for boxes, masks and other places in an image whose pixels move."""
    source = job.source
    placed = [old for old in getattr(source, "keep", {}) if _is_place(old)]
    reason = next(_moves(job, source), None) if placed and found else None
    if reason is not None:
        raise JobError(
            f"source.keep: the column {placed[0]!r} holds places in the image, and {reason}, so they would no longer "
            "fit; leave the column out, or join it to the rows that keep their pixels by a column such as id"
        )


def _is_place(name: str) -> bool:
    return _PLACED.search("_".join(_WORDS.split(name)).lower()) is not None


def _moves(job: Job, source: ImageSource) -> Iterator[str]:
    """What moves pixels, each as part of a sentence."""
    if source.size is not None:
        yield "source.size resizes rows"
    for position, recipe in enumerate(job.recipes):
        for number, operation in enumerate(operations_of(recipe)):
            at = f"recipes.{position}.ops.{number}"
            if settled(operation, at=at).moves:
                yield f"{at} ({operation.name}) moves pixels"
