"""Contract of a source of clean rows: it names its classes, plans ranges of rows, and reads a range."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Reject, RowError
from hardset.schemas.job.sources import ImageSource
from hardset.schemas.records import run as records


class SourceReader(Protocol):
    """Reads one source. Made from its section of the job file alone, so that any worker can make it again.

    Faults of a row's content (bytes, label, size) are rejects. Faults of storage (refused, unreachable, vanished)
    raise, because a retry may mend them and a committed shard could not be mended.
    """

    @property
    def name(self) -> str:
        """Name of the source in the column `source_dataset`, without credentials and query."""
        ...

    def class_names(self) -> tuple[str, ...] | None:
        """Class names in label order; None where the source has none. Raises JobError."""
        ...

    def probe(self) -> records.Image:
        """Shape of every row, from the job or the first readable rows. Raises JobError where these disagree."""
        ...

    def plan(self, shard_rows: int) -> list[records.SourceRange]:
        """Ranges of at most `shard_rows` rows that hold every selected row once, in source order.

        Source order is train, validation, test, other splits; then files by name; then rows. Raises JobError.
        """
        ...

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges of this source with the digests of their bytes as they are."""
        ...

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows in `image`'s shape with labels in [0, classes), and the rows that are lost.

        Raises RunError where the range has a digest and its bytes are others now.
        """
        ...


def warnings_of(reader: SourceReader) -> tuple[str, ...]:
    """What a reader takes for granted, one sentence each; none where it has no method `warnings`, as own ones may."""
    tell: Callable[[], tuple[str, ...]] | None = getattr(reader, "warnings", None)
    return () if tell is None else tell()


def user_types_of(reader: SourceReader) -> dict[str, pa.DataType]:
    """Types of the columns that rows carry, by their new names; none where a reader has no method `user_types`.

    Raises JobError where the source lacks a column that is to be carried.
    """
    ask: Callable[[], dict[str, pa.DataType]] | None = getattr(reader, "user_types", None)
    return {} if ask is None else ask()


def has_text_labels(reader: SourceReader) -> bool:
    """Whether a reader's labels are names, which the class names number; False where it has no such method."""
    ask: Callable[[], bool] | None = getattr(reader, "text_labels", None)
    return False if ask is None else ask()


@dataclass(frozen=True)
class Versions:
    """Versions that a place keeps of a source, of which a run reads one from its plan to its end."""

    now: Callable[[Any], str]
    """Settings to the version that they stand for now; empty where the place keeps none. Raises JobError."""
    at: Callable[[Any, str], Any]
    """Settings and a version that `now` gave to the settings of that version."""


@dataclass(frozen=True)
class Source:
    """A source that job files may name: its settings, and what reads it."""

    settings: type[ImageSource]
    reader: Callable[[Any], SourceReader]
    """Settings to the reader. Touches no storage yet."""
    versions: Versions | None = None
    """Versions of its own; None: those of the place where its files lie, such as commits of the Hub."""


@dataclass(frozen=True)
class RawRow:
    """A source row as stored: encoded image bytes, or pixels (uint8, H x W or H x W x C), or why there are none."""

    key: str
    """Stable under growth of the source: `<relative file>#<row>`, or the relative path of a file that is one row."""
    index: int
    """Position inside the source file; 0 where each file is one row."""
    label: int | RowError | None
    """Class number, or why there is none."""
    image: bytes | NDArray[np.uint8] | RowError
    row_id: str | None = None
    """Row id of a row made by hardset; None for other rows."""
    user: Mapping[str, Any] = field(default_factory=dict)
    """Values of the columns that the row carries, by their new names."""


def narrowed(source_range: records.SourceRange, start: int, stop: int) -> records.SourceRange:
    """The part of a range from row `start` to before row `stop`, counted as the range counts (inside its file).

    Raises ValueError where the part is not inside the range.
    """
    if not source_range.start <= start < stop <= source_range.stop:
        raise ValueError(f"rows {start} to {stop} are not inside {source_range.start} to {source_range.stop}")
    part = slice(start - source_range.start, stop - source_range.start)
    members, digests = source_range.members[part], source_range.member_digests[part]
    found = {"start": start, "stop": stop, "members": members, "member_digests": digests}
    return source_range.model_copy(update=found | {"picked": source_range.picked[part]})


def unfixed(source_range: records.SourceRange) -> records.SourceRange:
    """The range without digests, which is read whatever its bytes are now: for audits, which compare row by row."""
    return source_range.model_copy(update={"digest": "", "member_digests": ()})


def key_of(source_range: records.SourceRange, row: int) -> tuple[str, int]:
    """Key and index that `RawRow` gives a row of a range (counted as the range counts), without reading it."""
    if source_range.members:
        return f"{source_range.file}/{source_range.members[row - source_range.start]}", 0
    position = source_range.position(row)
    return f"{source_range.file}#{position}", position
