"""A shard without its bad rows: they are not even read, and each leaves a reject in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hardset.pipeline.batches import CleanRows, Reject, joined, no_rows
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.base import key_of, narrowed
from hardset.schemas.records.run import Shard, SourceRange


@dataclass(frozen=True)
class BadRow:
    """A row of a shard that cannot be made, whatever worker tries."""

    row: int
    """Position, counted as the shard counts: from its `start` to before its `stop`."""
    error_class: str
    """What happens to whoever makes it, such as `WorkerDied` or the class of an exception."""
    message: str
    """At most 200 characters."""


def part_of(shard: Shard, rows: SourceRange | None, start: int, stop: int) -> tuple[Shard, SourceRange | None]:
    """The rows `start` to before `stop` of a shard, as a shard of their own. It has the key of the whole."""
    part = shard.model_copy(update={"start": start, "stop": stop})
    return part, None if rows is None else narrowed(rows, start, stop)


def read_without(
    bad: Sequence[BadRow], shard: Shard, rows: SourceRange | None, worker: Worker
) -> tuple[CleanRows, list[Reject]]:
    """Reads a shard's rows in pieces around the bad ones, and adds a reject for each of these."""
    reads = [worker.read(*part_of(shard, rows, start, stop)) for start, stop in _between(bad, shard)]
    rejects = [reject for _, some in reads for reject in some]
    for row in bad:
        key, index = (f"sample#{row.row}", row.row) if rows is None else key_of(rows, row.row)
        rejects.append(Reject(index, key, "make", row.error_class, row.message))
    return joined([_none(worker, rows), *(clean for clean, _ in reads)]), rejects


def _between(bad: Sequence[BadRow], shard: Shard) -> Iterator[tuple[int, int]]:
    """The runs of rows that remain, none of them empty."""
    start = shard.start
    for stop in (*sorted(row.row for row in bad), shard.stop):
        if start < stop:
            yield start, stop
        start = stop + 1


def _none(worker: Worker, rows: SourceRange | None) -> CleanRows:
    """No rows, in the shape of those of the run."""
    image = worker.plan.image
    return no_rows(0, 0, 1) if rows is None else no_rows(image.height, image.width, image.channels)
