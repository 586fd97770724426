"""Reading of a shard's rows, without the bad ones: these are not even read, and each leaves a reject in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Reject, joined, no_rows
from hardset.pipeline.judging.judge import Floats
from hardset.pipeline.shards.facts import ShardFacts
from hardset.pipeline.shards.last_range import LastRange, RangeRows
from hardset.pipeline.sources.base import SourceReader, key_of, narrowed
from hardset.schemas.digests import row_seed
from hardset.schemas.records.run import Shard, SourceRange


@dataclass(frozen=True)
class BadRow:
    """A row of a shard that cannot be made, whatever worker tries."""

    row: int
    """Position, counted as the shard counts: from its `start` to before its `stop`."""
    error_class: str
    """Cause of the failure, such as `WorkerDied` or the class of an exception."""
    message: str
    """At most 200 characters."""


@dataclass(frozen=True)
class ReadRows:
    """N rows that go into a shard."""

    clean: CleanRows
    rejects: tuple[Reject, ...]
    """Rows that could not be read, and bad ones."""
    seeds: NDArray[np.int64]
    """(N, variants): root of each made row's randomness."""
    asked: dict[str, Floats] = field(default_factory=dict)
    """Logits of the clean rows that models gave already, by role; other recipes of the range share them."""


def part_of(shard: Shard, rows: SourceRange | None, start: int, stop: int) -> tuple[Shard, SourceRange | None]:
    """The rows `start` to before `stop` of a shard, as a shard of their own with the key of the whole."""
    part = shard.model_copy(update={"start": start, "stop": stop})
    return part, None if rows is None else narrowed(rows, start, stop)


def read_rows(
    facts: ShardFacts, source: SourceReader, bad: Sequence[BadRow] = (), last: LastRange | None = None
) -> ReadRows:
    """Reads the rows of a shard in pieces around the bad ones; for samples, the classes to draw.

    `last`: memory of the worker, in which whole ranges are looked for first; None: all are read.
    """
    if bad or last is None or facts.source_range is None:
        found = _pieced(facts, source, bad)
    else:
        found = last.rows(facts.source_range, lambda: _pieced(facts, source, ()))
    clean = replace(found.clean, split=facts.shard.split)
    return ReadRows(clean, tuple(found.rejects), _seeds(facts, clean.keys), found.asked)


def _pieced(facts: ShardFacts, source: SourceReader, bad: Sequence[BadRow]) -> RangeRows:
    pieces = [_read(piece, source) for piece in _pieces(facts, bad)]
    clean = pieces[0][0] if not bad else joined([_none(facts), *(rows for rows, _ in pieces)])
    rejects = (*(reject for _, some in pieces for reject in some), *(_reject(facts, row) for row in bad))
    return RangeRows(clean, rejects)


def _pieces(facts: ShardFacts, bad: Sequence[BadRow]) -> Iterator[ShardFacts]:
    """Runs of rows between the bad ones, none of them empty."""
    if not bad:
        yield facts
        return
    start = facts.shard.start
    for stop in (*sorted(row.row for row in bad), facts.shard.stop):
        if start < stop:
            shard, source_range = part_of(facts.shard, facts.source_range, start, stop)
            yield replace(facts, shard=shard, source_range=source_range)
        start = stop + 1


def _read(facts: ShardFacts, source: SourceReader) -> tuple[CleanRows, Sequence[Reject]]:
    if facts.source_range is None:
        return sample_rows(facts.shard.start, facts.shard.stop, len(facts.classes)), ()
    return source.read(facts.source_range, facts.image, len(facts.classes))


def sample_rows(start: int, stop: int, classes: int) -> CleanRows:
    """Samples `start` to `stop`: classes take turns, so that more rows per class only add samples at the end."""
    numbers = np.arange(start, stop, dtype=np.int64)
    return CleanRows(
        pixels=np.zeros((0, 0, 0, 1), np.uint8),
        labels=numbers % classes,
        keys=tuple(f"sample#{number}" for number in numbers),
        indices=numbers,
    )


def _none(facts: ShardFacts) -> CleanRows:
    """No rows, in the shape of those of the shard."""
    image = facts.image
    return no_rows(0, 0, 1) if facts.source_range is None else no_rows(image.height, image.width, image.channels)


def row_key(rows: SourceRange | None, row: int) -> tuple[str, int]:
    """Key and index of a row of a shard, counted as the shard counts, without reading it. `rows`: None for samples."""
    return (f"sample#{row}", row) if rows is None else key_of(rows, row)


def _reject(facts: ShardFacts, bad: BadRow) -> Reject:
    key, index = row_key(facts.source_range, bad.row)
    return Reject(index, key, "make", bad.error_class, bad.message)


def _seeds(facts: ShardFacts, keys: Sequence[str]) -> NDArray[np.int64]:
    seeds = [
        row_seed(run_seed=facts.seed, recipe=facts.recipe_id, source_key=key, variant=variant)
        for key in keys
        for variant in range(facts.variants)
    ]
    return np.asarray(seeds, np.int64).reshape(len(keys), facts.variants)
