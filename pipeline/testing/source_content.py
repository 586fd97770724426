"""A source planned and read to its end, and held against what it was before its files changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.testing.faults import NonconformityError
from hardset.pipeline.testing.source_example import SampleRow, SourceExample, rewritten, written
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import UserError
from hardset.schemas.job.sources import ImageSource, Source
from hardset.schemas.records.run import SourceRange

SHARD_ROWS = 4
"""Most rows in a range, unless a check says otherwise: so few that files of the kit make several ranges."""
_SOURCE: TypeAdapter[ImageSource] = TypeAdapter(Source)


@dataclass(frozen=True)
class ReadRow:
    """Identity of a row that was read."""

    sha256: str
    """Digest of its pixels."""
    label: int


@dataclass(frozen=True)
class SourceContent:
    """A source as planned and read to its end."""

    reader: SourceReader
    ranges: tuple[SourceRange, ...]
    rows: dict[str, ReadRow]
    """Rows by key, in the order they came."""
    rejects: dict[str, Reject]
    """Rejects by key."""
    by_range: dict[str, list[tuple[str, ReadRow]]]
    """Rows of each range, by what its shards' keys hold of it."""

    def by_file(self) -> dict[str, list[tuple[str, ReadRow]]]:
        """Rows of each file, or folder of files that are a row each."""
        found: dict[str, list[tuple[str, ReadRow]]] = {}
        for part in self.ranges:
            found.setdefault(part.file, []).extend(self.by_range[_identity(part)])
        return found


def compare(
    example: SourceExample, folder: Path, before: Sequence[SampleRow], after: Sequence[SampleRow], what: str
) -> tuple[SourceContent, SourceContent]:
    """The content of a source before and after a change of its rows, in place.

    `what`: the change, for sentences. Raises NonconformityError where keys of shards do not follow the rows.
    """
    written(example, folder, before)
    old = seen_through(example, folder)
    rewritten(example, folder, after)
    new = seen_through(example, folder)
    demand(old.rows != new.rows, f"{what} in the files, and the rows that come are those of before")
    for identity, rows in old.by_range.items():
        demand(
            new.by_range.get(identity, rows) == rows,
            f"{what}, and the range {identity} kept its digest: its shards would keep their keys and never be made "
            "again; a digest covers all bytes that its rows come from",
        )
    was, now = old.by_file(), new.by_file()
    for part in old.ranges:
        demand(
            was[part.file] != now.get(part.file) or _identity(part) in new.by_range,
            f"{what}, and {part.file}, which holds none of it, has another digest: its shards would be made again",
        )
    return old, new


def _identity(part: SourceRange) -> str:
    fixes = part.model_dump(include={"split", "file", "start", "stop", "digest", "members", "label"})
    return f"{part.file} rows {part.start} to {part.stop}: {fixes}"


def seen_through(
    example: SourceExample, folder: Path, shard_rows: int = SHARD_ROWS, *, classes: int | None = None, **asked: Any
) -> SourceContent:
    """The source in `folder`, opened anew with the settings `asked` beside its own. Raises NonconformityError."""
    spec = _SOURCE.validate_python({**example.settings(str(folder)), **asked})
    try:
        reader = open_source(spec)
        return read_ranges(reader, reader.plan(shard_rows), classes or example.classes)
    except UserError as error:
        raise NonconformityError(f"it cannot be read: {error}") from error


def read_ranges(reader: SourceReader, ranges: Sequence[SourceRange], classes: int) -> SourceContent:
    """The rows of some ranges. Raises NonconformityError where they are not as rows must be."""
    image = reader.probe()
    found: dict[str, ReadRow] = {}
    rejects: dict[str, Reject] = {}
    by_range: dict[str, list[tuple[str, ReadRow]]] = {}
    for part in ranges:
        rows, lost = reader.read(part, image, classes)
        _check_shapes(rows)
        made = [ReadRow(sha256, int(label)) for sha256, label in zip(rows.sha256, rows.labels, strict=True)]
        pairs = list(zip(rows.keys, made, strict=True))
        found.update(pairs)
        rejects.update({reject.key: reject for reject in lost})
        by_range[_identity(part)] = pairs
    return SourceContent(reader, tuple(ranges), found, rejects, by_range)


def _check_shapes(rows: CleanRows) -> None:
    demand(rows.pixels.dtype == np.uint8 and rows.pixels.ndim == 4, "pixels are not uint8 (N, H, W, C)")
    demand(rows.sha256 == tuple(map(image_sha256, rows.pixels)), "sha256 are not the digests of the pixels")


def demand(holds: bool, otherwise: str) -> None:
    """Raises NonconformityError with the sentence `otherwise` unless `holds`."""
    if not holds:
        raise NonconformityError(otherwise)
