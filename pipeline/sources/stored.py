"""Base of readers of stored files: finding files, their digests, and planning, probing and reading ranges.

A new format derives from `RowFiles` where each file holds many rows, and from `members.MemberFiles` where each is one
row.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Reject, RowError
from hardset.pipeline.sources import cleaning, ranges
from hardset.pipeline.sources.as_planned import AsPlanned, changed, still_there
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import Place, SourceFile, resolve, storage_faults
from hardset.pipeline.sources.fingerprints import fingerprint, identity_of, is_local, tag_digest
from hardset.pipeline.sources.names import Names
from hardset.pipeline.sources.naming import ClassNaming
from hardset.pipeline.sources.splits import selected, split_of_file
from hardset.pipeline.sources.stratified import by_first, chosen, stratum_of
from hardset.pipeline.sources.unreadable import (
    OUT_OF_REACH,
    UNREADABLE,
    FileError,
    UnreadableFileError,
    out_of_reach,
)
from hardset.pipeline.sources.user_values import carried, carried_types
from hardset.schemas.errors import JobError, RunError, UserError
from hardset.schemas.job.sources import Limit, StoredSource
from hardset.schemas.records import run as records

_PROBED_AT_ONCE = 16
SAMPLED_PLACES, SAMPLED_ROWS = 16, 4  # a sample is so many rows at so many places
_FETCHED_AT_ONCE = 64


class StoredReader(ClassNaming):
    """A source whose rows lie in files of a folder or object store."""

    spec: StoredSource

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
        return resolve(self.spec.path)

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


class StoredRow(NamedTuple):
    """A row of a file, as stored."""

    label: Any
    """Number or name of its class, in any type that `labels.plain` knows; None where it has none."""
    image: bytes | NDArray[np.uint8] | RowError
    """Encoded image bytes, or pixels (uint8, H x W or H x W x C), or why there are none."""
    row_id: str | None = None
    """Id of a row that hardset made."""
    user: Mapping[str, Any] = MappingProxyType({})
    """Values as stored of the columns that `source.keep` names, by these names."""


class RowFiles(StoredReader):
    """A source whose files each hold many rows. A range never spans files.

    The digest of a range is that of its whole file, so `rows` may read nothing but that file.
    """

    suffix: ClassVar[str | tuple[str, ...]]
    """Suffix of the files, such as .npz, or several."""

    @abstractmethod
    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of pieces of at most `shard_rows` rows that hold every row of a file once, in order.

        `ranges.cut` makes them of a count. Raises JobError where the file is none of this format.
        """

    @abstractmethod
    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        """Rows `start` to before `stop` of a file, in order: every one of them, a broken one with its RowError."""

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows, and those that are lost. Raises RunError where the file is not the one that was planned."""
        if source_range.unreadable:
            return super().read(source_range, image, classes)
        if type(self).fixed is not RowFiles.fixed and source_range.digest:
            return self._read_by_own_digest(source_range, image, classes)
        with self._as_planned.file(source_range.file, source_range.digest):
            return super().read(source_range, image, classes)

    def _read_by_own_digest(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The same for a format with digests of its own."""
        found = None
        for _ in ("before", "after"):
            with still_there(source_range.file):
                if self.fixed([source_range])[0].digest != source_range.digest:
                    raise changed(source_range.file)
            found = found or super().read(source_range, image, classes)
        assert found is not None
        return found

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their files. Raises RunError where a file was replaced since it was looked at."""
        names = list(dict.fromkeys(part.file for part in parts if not part.unreadable))
        with digest_cache(self._place) as cache:
            found = cache.digests(
                {name: self._place.path_of(name) for name in names}, lambda path: fingerprint(self._place.fs, path)
            )
        for name in names:
            if self._looks.get(name) not in (None, found[name], self._look(name)):
                raise RunError(f"{name} was replaced while the run was planned; start the job again")
        found |= {part.file: self._digest_of_unreadable(part.file) for part in parts if part.unreadable}
        return [part.model_copy(update={"digest": found[part.file]}) for part in parts]

    def _digest_of_unreadable(self, name: str) -> str:
        try:
            return fingerprint(self._place.fs, self._place.path_of(name))
        except OUT_OF_REACH:
            return UNREADABLE

    @cached_property
    def _looks(self) -> dict[str, Any]:
        """State of each file before anything of it was read: its tag, or the identity of a local one."""
        return {}

    def _look(self, name: str) -> Any:
        with suppress(*OUT_OF_REACH):
            return identity_of(self._place.path_of(name)) if is_local(self._place.fs) else None
        return None

    def looked_at(self, file: SourceFile) -> SourceFile:
        """The file. Call it before anything of a file is read for a plan, which is then held to what was there."""
        self._looks.setdefault(file.name, tag_digest(file.info) or self._look(file.name))
        return file

    @cached_property
    def files(self) -> list[tuple[str, SourceFile]]:
        """The selected files, each with its split. Raises JobError where there are none."""
        return selected(self.every_file, lambda file: split_of_file(file.name), self.spec.splits)

    @cached_property
    def every_file(self) -> list[SourceFile]:
        """The files of all splits. Raises JobError where there are none."""
        files = self._place.files(self.suffix, self.names_that_count(tables=True))
        if not files:
            suffix = self.suffix if isinstance(self.suffix, str) else ", ".join(self.suffix)
            raise JobError(f"source.path: {self.name} holds no {suffix} files{self._left_out}")
        return files

    @cached_property
    def readable_files(self) -> list[SourceFile]:
        """The files of all splits that can be read; all, where none can, so that whoever opens one is told why."""
        return [file for file in self.every_file if self._is_readable(file)] or self.every_file

    def _is_readable(self, file: SourceFile) -> bool:
        try:
            next(iter(self.pieces(self.looked_at(file), _FETCHED_AT_ONCE)), None)
        except (UnreadableFileError, *OUT_OF_REACH):
            return False
        return True

    def labels(self, file: SourceFile) -> Iterable[Any]:
        """Labels of all rows of a file, as stored, in order; a format that can reads them without the images."""
        pieces = self.pieces(file, _FETCHED_AT_ONCE)
        return (row.label for start, stop in pieces for row in self.rows(file.name, start, stop))

    def labels_in(self, part: records.SourceRange) -> Iterable[Any]:
        """Labels of the rows of a range, as stored."""
        if part.unreadable:
            return ()
        every = self.labels(next(file for _, file in self.files if file.name == part.file))
        if not part.picked:
            return islice(every, part.start, part.stop)
        wanted = set(part.picked)
        return (label for position, label in enumerate(every) if position in wanted)

    def _stratified(self, rows: int, shard_rows: int) -> Iterator[records.SourceRange]:
        readable = {file.name for file in self.readable_files}
        files = [(split, file) for split, file in self.files if file.name in readable]
        candidates = (
            (stratum_of(label), f"{file.name}#{row}", (number, row))
            for number, (_, file) in enumerate(files)
            for row, label in enumerate(self.labels(self.looked_at(file)))
        )
        for number, picked in by_first(chosen(candidates, rows)):
            split, file = files[number]
            for start, stop in ranges.cut(0, len(picked), shard_rows):
                these = tuple(picked[start:stop])
                yield records.SourceRange(split=split, file=file.name, start=start, stop=stop, digest="", picked=these)

    def label_values(self) -> Iterable[Any]:
        """Labels of all rows of all splits."""
        return (label for file in self.readable_files for label in self.labels(file))

    def _sample(self) -> Iterator[records.SourceRange]:
        files = ranges.spread(self.files, SAMPLED_PLACES)
        for split, file in files:
            pieces: list[tuple[int, int]] = []
            with suppress(UnreadableFileError, *OUT_OF_REACH):
                pieces = list(self.pieces(self.looked_at(file), SAMPLED_ROWS))
            for start, stop in ranges.spread(pieces, max(1, SAMPLED_PLACES // len(files))):
                yield records.SourceRange(split=split, file=file.name, start=start, stop=stop, digest="")

    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        faults: list[UnreadableFileError] = []
        for split, file in self.files:
            why = ""
            try:
                pieces = list(self.pieces(self.looked_at(file), shard_rows))
            except (UnreadableFileError, *OUT_OF_REACH) as error:
                faults.append(self._fault(file, error))
                pieces, why = [(0, 1)], str(faults[-1]).removeprefix(f"source.path: {file.name} ")
                if self.spec.unreadable == "fail":
                    raise faults[-1] from error
            for start, stop in pieces:
                yield records.SourceRange(
                    split=split, file=file.name, start=start, stop=stop, digest="", unreadable=why
                )
        if faults and len(faults) == len(self.files):
            raise faults[0]

    def _fault(self, file: SourceFile, error: Exception) -> UnreadableFileError:
        if isinstance(error, UnreadableFileError):
            return error
        assert isinstance(error, OSError)
        return UnreadableFileError(f"source.path: {file.name} {out_of_reach(error, file.path)}")

    def _rows(self, source_range: records.SourceRange) -> Iterator[RawRow]:
        name, row = source_range.file, source_range.start
        if source_range.unreadable:
            yield RawRow(f"{name}#0", 0, 0, FileError(f"the file cannot be read: {source_range.unreadable}"))
            return
        if source_range.picked:
            yield from self._picked(source_range)
            return
        for found in self.rows(name, source_range.start, source_range.stop):
            yield self._raw(f"{name}#{row}", row, found)
            row += 1
        if row != source_range.stop:
            raise RunError(
                f"{name}: {row - source_range.start} rows came where {source_range.rows} were planned; the file has "
                "changed, or its reader leaves rows out; start the job again"
            )

    def _picked(self, part: records.SourceRange) -> Iterator[RawRow]:
        """The rows of a sample; what lies between those that are close is read, too, and left out."""
        wanted = set(part.picked)
        for start, stop in ranges.runs(part.picked, _FETCHED_AT_ONCE):
            for row, found in enumerate(self.rows(part.file, start, stop), start):
                if row in wanted:
                    yield self._raw(f"{part.file}#{row}", row, found)

    def _raw(self, key: str, index: int, found: StoredRow) -> RawRow:
        image = found.image
        try:
            user = {new: carried(found.user.get(old)) for old, new in self.spec.keep.items()}
        except RowError as error:
            user, image = dict.fromkeys(self.spec.keep.values()), error
        return RawRow(key, index, self._label(found), image, found.row_id, user)

    def _label(self, row: StoredRow) -> int | RowError:
        if type(row.label) is int and (isinstance(row.image, RowError) or not self.spec.label_offset):
            return row.label
        try:
            return self.numbering.number(row.label)
        except RowError as error:
            return error
