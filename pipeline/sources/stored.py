"""Base of readers of stored files: finding files, their digests, and planning, probing and reading ranges.

A new format derives from `row_files.RowFiles` where each file holds many rows, and from `members.MemberFiles` where
each is one row.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

import pyarrow as pa

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources import cleaning, ranges
from hardset.pipeline.sources.as_planned import AsPlanned
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.files import Place, resolve, storage_faults
from hardset.pipeline.sources.names import Names
from hardset.pipeline.sources.naming import ClassNaming
from hardset.pipeline.sources.unreadable import (
    OUT_OF_REACH,
)
from hardset.pipeline.sources.user_values import carried_types
from hardset.schemas.errors import JobError, UserError
from hardset.schemas.job.sources import Limit, StoredSource
from hardset.schemas.records import run as records

_PROBED_AT_ONCE = 16
SAMPLED_PLACES, SAMPLED_ROWS = 16, 4  # a sample is so many rows at so many places
FETCHED_AT_ONCE = 64
"""Files, or rows of one, that are fetched together."""


class StoredReader(ClassNaming):
    """A source whose rows lie in files of a folder or object store."""

    spec: StoredSource
    folder_wanted: ClassVar[str] = ""
    """End of the sentence that refuses a path which is no folder; empty where a file or a glob will do, too."""

    @property
    def name(self) -> str:
        """The path, without credentials and query."""
        return self._place.name

    def probe(self) -> records.Image:
        """Shape of the rows, from the job or the first readable ones. Raises JobError."""
        with storage_faults(self.name):
            first = (raw for part in self._ranges(_PROBED_AT_ONCE) for raw in self._rows(part))
            return cleaning.probe_image(first, self.spec, self._most_channels())

    def warnings(self) -> tuple[str, ...]:
        """What the reader takes for granted of its classes and channels, one sentence each."""
        grey, colour = self._channels[1], self._channels[3]
        if not grey or not colour:
            return super().warnings()
        most = "grey" if self._most_channels() == 1 else "RGB"
        told = f"of {grey + colour} sampled rows {grey} are grey and {colour} RGB, so all are read as {most}"
        return (*super().warnings(), f"source.channels: {told}; set source.channels to choose")

    def _most_channels(self) -> Literal[1, 3] | None:
        """Channels of most rows of the sample, 3 of a draw; None where none was looked at, or none is readable."""
        grey, colour = self._channels[1], self._channels[3]
        return None if not grey + colour else 1 if grey > colour else 3

    @cached_property
    def _channels(self) -> dict[Literal[1, 3], int]:
        """Grey and coloured rows of a sample from all over the source; none where the job says what rows have."""
        if self.spec.channels != "auto":
            return {1: 0, 3: 0}
        with storage_faults(self.name):
            return cleaning.channel_counts(self._sampled(), self.spec)

    def _sampled(self) -> Iterator[RawRow]:
        """Rows of the sample, without those of files that cannot be read."""
        for part in self._sample():
            with suppress(UserError, *OUT_OF_REACH):
                yield from list(self._rows(part))

    def _sample(self) -> Iterator[records.SourceRange]:
        """Ranges of a few rows, spread over the whole source where a format overrides it, without digests."""
        return islice(self._ranges(SAMPLED_ROWS), SAMPLED_PLACES)

    def plan(self, shard_rows: int) -> list[records.SourceRange]:
        """Ranges of at most `shard_rows` rows with their digests. Raises JobError where files cannot be used."""
        self.check_listed()
        with storage_faults(self.name):
            limit = self.spec.limit
            parts = self._stratified(limit.rows, shard_rows) if isinstance(limit, Limit) else self._ranges(shard_rows)
            return ranges.planned(parts, self.fixed, limit, self.name)

    @abstractmethod
    def _stratified(self, rows: int, shard_rows: int) -> Iterator[records.SourceRange]:
        """Ranges of a sample of so many rows by class, without digests."""

    @abstractmethod
    def labels_in(self, part: records.SourceRange) -> Iterable[Any]:
        """Labels of the rows of a range, as stored."""

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows, and those that are lost."""
        return cleaning.clean_rows(self._rows(source_range), self.spec, image, classes)

    def open(self, name: str) -> Any:
        """A file of the source by its relative name, as a binary handle that can seek."""
        return self._place.fs.open(self._place.path_of(name), "rb")

    def column_types(self) -> Iterable[tuple[str, Mapping[str, pa.DataType]]]:
        """For each file its name, and the stored types of the columns beside image and label that rows can carry.

        None unless the format overrides it.
        """
        return ()

    def user_types(self) -> dict[str, pa.DataType]:
        """Types of the columns that rows carry, by their new names.

        Raises JobError where the source lacks a column, or its files disagree about a type.
        """
        return carried_types(self.spec.keep, self.column_types(), self.name) if self.spec.keep else {}

    @cached_property
    def _place(self) -> Place:
        place = resolve(self.spec.path)
        if self.folder_wanted and place.kind != "folder":
            raise JobError(f"source.path: {place.name} is no folder; wants {self.folder_wanted}")
        return place

    def names_that_count(self, *, tables: bool = False) -> Names:
        """The names that count. `tables`: hide those that begin with an underscore, too."""
        return Names(self.spec.include, self.spec.exclude, tables)

    @property
    def _left_out(self) -> str:
        """End of a sentence on files that are missing."""
        return " that source.include and source.exclude take" if self.spec.include or self.spec.exclude else ""

    @cached_property
    def _as_planned(self) -> AsPlanned:
        return AsPlanned(self._place)

    @abstractmethod
    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their bytes."""

    @abstractmethod
    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        """All ranges, in source order, without digests."""

    @abstractmethod
    def _rows(self, source_range: records.SourceRange) -> Iterator[RawRow]:
        """Rows of a range, as stored."""
