"""Base of readers of stored files that hold many rows each."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Reject, RowError
from hardset.pipeline.sources import ranges
from hardset.pipeline.sources.as_planned import changed, still_there
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import SourceFile
from hardset.pipeline.sources.fingerprints import fingerprint, identity_of, is_local, tag_digest
from hardset.pipeline.sources.splits import selected, split_of_file
from hardset.pipeline.sources.stored import FETCHED_AT_ONCE, SAMPLED_PLACES, SAMPLED_ROWS, StoredReader
from hardset.pipeline.sources.stratified import by_first, chosen, stratum_of
from hardset.pipeline.sources.unreadable import (
    OUT_OF_REACH,
    FileError,
    UnreadableFileError,
    digest_or_unreadable,
    out_of_reach,
)
from hardset.pipeline.sources.user_values import carried
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records import run as records


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
        found |= self._digests_of_unreadable(parts)
        return [part.model_copy(update={"digest": found[part.file]}) for part in parts]

    def _digests_of_unreadable(self, parts: Iterable[records.SourceRange]) -> dict[str, str]:
        paths = {part.file: self._place.path_of(part.file) for part in parts if part.unreadable}
        if not paths:
            return {}
        with digest_cache(self._place) as cache:
            return cache.digests(paths, lambda path: digest_or_unreadable(fingerprint, self._place.fs, path))

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
            others = Counter(PurePosixPath(file.name).suffix for file in self._place.files())
            there = ", ".join(f"{number:,} of {kind or 'no suffix'}" for kind, number in others.most_common(3))
            more = f"; it holds {there}" if there else ""
            raise JobError(f"source.path: {self.name} holds no {suffix} files{self._left_out}{more}")
        return files

    @cached_property
    def readable_files(self) -> list[SourceFile]:
        """The files of all splits that can be read; all, where none can, so that whoever opens one is told why."""
        return [file for file in self.every_file if self._is_readable(file)] or self.every_file

    def _is_readable(self, file: SourceFile) -> bool:
        try:
            next(iter(self.pieces(self.looked_at(file), FETCHED_AT_ONCE)), None)
        except (UnreadableFileError, *OUT_OF_REACH):
            return False
        return True

    def labels(self, file: SourceFile) -> Iterable[Any]:
        """Labels of all rows of a file, as stored, in order; a format that can reads them without the images."""
        pieces = self.pieces(file, FETCHED_AT_ONCE)
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
        for start, stop in ranges.runs(part.picked, FETCHED_AT_ONCE):
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
