"""Cutting sources into ranges of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from hardset.pipeline.sources.base import narrowed
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import Limit
from hardset.schemas.records import run as records

Item = TypeVar("Item")


def cut(start: int, stop: int, shard_rows: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive pieces of at most `shard_rows` rows."""
    for begin in range(start, stop, shard_rows):
        yield begin, min(begin + shard_rows, stop)


def cut_groups(groups: Sequence[int], shard_rows: int) -> Iterator[tuple[int, int]]:
    """Pieces that end where row groups end, so that none is read twice; a group over `shard_rows` is cut by itself.

    `groups`: rows of each group.
    """
    start = stop = 0
    for rows in groups:
        if stop - start + rows > shard_rows:
            if stop > start:
                yield start, stop
            start = stop
        stop += rows
        if stop - start > shard_rows:
            yield from cut(start, stop, shard_rows)
            start = stop
    if stop > start:
        yield start, stop


def spread(items: Sequence[Item], number: int) -> list[Item]:
    """At most so many of the items, evenly spread over them, the first among them."""
    if len(items) <= number:
        return list(items)
    return [items[at * len(items) // number] for at in range(number)]


def runs(positions: Sequence[int], gap: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of stretches that hold all positions, which ascend; those further apart than `gap` are split."""
    start = stop = positions[0]
    for position in positions:
        if position - stop > gap:
            yield start, stop
            start = position
        stop = position + 1
    yield start, stop


def planned(
    ranges: Iterable[records.SourceRange],
    fix: Callable[[list[records.SourceRange]], list[records.SourceRange]],
    limit: int | Limit | None,
    name: str,
) -> list[records.SourceRange]:
    """The first `limit` rows (None: all) of ranges, each with its digest, which `fix` finds. `name`: for the error.

    Ranges of a sample are those of its rows already, and taken whole. Of a number, ranges past the limit are not asked
    for. Raises JobError where there are no rows.
    """
    kept = list(_limited(ranges, None if isinstance(limit, Limit) else limit))
    if not kept:
        raise JobError(f"source.path: {name} holds no rows")
    return fix(kept)


def _limited(ranges: Iterable[records.SourceRange], limit: int | None) -> Iterator[records.SourceRange]:
    left = limit
    for piece in ranges:
        if left is not None and piece.rows >= left:
            yield narrowed(piece, piece.start, piece.start + left)
            return
        yield piece
        left = None if left is None else left - piece.rows
