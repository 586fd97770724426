"""Base of readers of stored files that are a row each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hardset.pipeline.sources import ranges
from hardset.pipeline.sources.as_planned import still_there
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import SourceFile, start_of
from hardset.pipeline.sources.fingerprints import content_digest, is_local, tag_digest
from hardset.pipeline.sources.images import ImageTooLargeError
from hardset.pipeline.sources.splits import selected
from hardset.pipeline.sources.stored import FETCHED_AT_ONCE, SAMPLED_PLACES, SAMPLED_ROWS, StoredReader
from hardset.pipeline.sources.stratified import by_first, chosen, stratum_of
from hardset.pipeline.sources.unreadable import (
    OUT_OF_REACH,
    UNREADABLE,
    FileError,
    UnreadableFileError,
    digest_or_unreadable,
    out_of_reach,
)
from hardset.schemas.digests import digest
from hardset.schemas.limits import MIB, Limits, variable
from hardset.schemas.records import run as records

_SHORT = 16  # hex digits of a member's own digest, which only tells whether it changed


class Members(NamedTuple):
    """Files of one folder that are a row each."""

    split: str
    folder: str
    """Relative to the source."""
    label: int
    files: list[SourceFile]


class MemberFiles(StoredReader):
    """A source in which each file is one row, and rows of a folder share a label.

    A range never spans folders, so a new file touches only ranges of its folder, from its place on.
    """

    @abstractmethod
    def members(self) -> Iterable[Members]:
        """All folders with files of all splits, in the order of their names. Raises JobError."""

    def label_values(self) -> Iterable[Any]:
        """Labels of all folders."""
        return (folder.label for folder in self.members())

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their files."""
        found = self._digests({f"{part.file}/{member}" for part in parts for member in part.members})

        def fix(part: records.SourceRange) -> records.SourceRange:
            listed = [[name, found[name]] for name in (f"{part.file}/{member}" for member in part.members)]
            short = tuple(one[:_SHORT] for _, one in listed)
            return part.model_copy(update={"digest": digest([part.label, listed]), "member_digests": short})

        return [fix(part) for part in parts]

    def _digests(self, names: set[str]) -> dict[str, str]:
        files = [file for folder in self.members() for file in folder.files if file.name in names]
        tags = {file.name: tag for file in files if (tag := tag_digest(file.info)) is not None}
        with digest_cache(self._place) as cache:
            rest = {file.name: file.path for file in files if file.name not in tags}
            found = tags | cache.digests(rest, lambda path: digest_or_unreadable(content_digest, self._place.fs, path))
        lost = next((file for file in files if found[file.name] == UNREADABLE), None)
        if lost is not None and self.spec.unreadable == "fail":
            raise UnreadableFileError(f"source.path: {lost.name} {self._why(lost.path)}")
        return found

    def _why(self, path: str) -> str:
        """Why the bytes of a file cannot be had."""
        try:
            self._place.fs.cat_file(path, start=0, end=1)
        except OUT_OF_REACH as error:
            return out_of_reach(error, path)
        return "could not be read when the run was planned"

    def _sample(self) -> Iterator[records.SourceRange]:
        every = [(split, folder, at) for split, folder in self._selected() for at in range(len(folder.files))]
        for split, folder, at in ranges.spread(every, SAMPLED_PLACES * SAMPLED_ROWS):
            yield _range_of(split, folder, at, at + 1)

    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        for split, folder in self._selected():
            for start, stop in ranges.cut(0, len(folder.files), shard_rows):
                yield _range_of(split, folder, start, stop)

    def labels_in(self, part: records.SourceRange) -> Iterable[Any]:
        """The label of a range's folder."""
        return (part.label,)

    def _stratified(self, rows: int, shard_rows: int) -> Iterator[records.SourceRange]:
        folders = self._selected()
        candidates = (
            (stratum_of(folder.label), file.name, (number, at))
            for number, (_, folder) in enumerate(folders)
            for at, file in enumerate(folder.files)
        )
        for number, picked in by_first(chosen(candidates, rows)):
            split, folder = folders[number]
            some = folder._replace(files=[folder.files[at] for at in picked])
            for start, stop in ranges.cut(0, len(picked), shard_rows):
                yield _range_of(split, some, start, stop)

    def _selected(self) -> list[tuple[str, Members]]:
        return selected(self.members(), lambda folder: folder.split, self.spec.splits)

    def _rows(self, source_range: records.SourceRange) -> Iterator[RawRow]:
        keys = [f"{source_range.file}/{member}" for member in source_range.members]
        planned = source_range.member_digests or ("",) * len(keys)
        most = int(Limits.from_environment().value_mib * MIB)
        for start in range(0, len(keys), FETCHED_AT_ONCE):
            some = keys[start : start + FETCHED_AT_ONCE]
            for key, content, short in zip(some, self._fetched(some, most), planned[start:], strict=False):
                if UNREADABLE.startswith(short) if short else isinstance(content, OUT_OF_REACH):
                    why = self._why(self._place.path_of(key))
                    yield RawRow(key, 0, source_range.label, FileError(f"the file cannot be read: {why}"))
                    continue
                if isinstance(content, Exception):
                    with still_there(key):
                        raise content
                if len(content) > most:
                    allowed = f"more than {variable('value_mib')} allows ({most / MIB:g} MiB)"
                    yield RawRow(key, 0, source_range.label, ImageTooLargeError(f"holds {allowed}"))
                    continue
                self._as_planned.content(key, content, short)
                yield RawRow(key, 0, source_range.label, content)

    def _fetched(self, keys: list[str], most: int) -> list[bytes | Exception]:
        """The first `most` bytes, and one more if there is one, of each file, or why they cannot be had."""
        paths = [self._place.path_of(key) for key in keys]
        if is_local(self._place.fs):
            return [_start_or_fault(path, most) for path in paths]
        # Not fs.cat: it takes brackets in file names for patterns.
        found: list[bytes | Exception] = self._place.fs.cat_ranges(paths, 0, most + 1)
        for number, content in enumerate(found):
            # S3 has no part of an object that is empty.
            if isinstance(content, OSError) and not isinstance(content, OUT_OF_REACH):
                (found[number],) = self._place.fs.cat_ranges([paths[number]], None, None)
        return found


def _start_or_fault(path: str, most: int) -> bytes | Exception:
    try:
        return start_of(path, most)
    except OSError as error:
        return error


def _range_of(split: str, folder: Members, start: int, stop: int) -> records.SourceRange:
    """Files `start` to before `stop` of a class folder."""
    names = tuple(file.name[len(folder.folder) + 1 :] for file in folder.files[start:stop])
    return records.SourceRange(
        split=split, file=folder.folder, start=start, stop=stop, digest="", members=names, label=folder.label
    )
