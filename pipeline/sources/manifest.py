"""Manifests: tables of the paths or URLs of images, with their labels; a row is a line and the image that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources import ranges
from hardset.pipeline.sources.as_planned import changed, still_there
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import SourceFile, opened, start_of
from hardset.pipeline.sources.fingerprints import content_digest, digests_of, fingerprint, is_local, tag_digest
from hardset.pipeline.sources.images import ImageTooLargeError
from hardset.pipeline.sources.labels import are_text
from hardset.pipeline.sources.lines import SUFFIXES
from hardset.pipeline.sources.listing import Entry, Listing, listing_of
from hardset.pipeline.sources.row_files import RowFiles, StoredRow
from hardset.pipeline.sources.stored import FETCHED_AT_ONCE, StoredReader
from hardset.pipeline.sources.unreadable import (
    OUT_OF_REACH,
    UNREADABLE,
    FileError,
    UnreadableFileError,
    digest_or_unreadable,
    out_of_reach,
)
from hardset.pipeline.storage.folder import in_parallel
from hardset.schemas.digests import digest
from hardset.schemas.errors import RunError
from hardset.schemas.job.sources import ManifestSource
from hardset.schemas.limits import MIB, Limits, variable
from hardset.schemas.records import run as records

_SHORT = 16  # hex digits of a row's own digest


@dataclass(frozen=True)
class ManifestReader(RowFiles):
    """Reads lines of tables, each with an image at a path that starts from the table's folder, or at a URL.

    The digest of a range covers its lines and the images that they name. A row's key is the path as written.
    """

    suffix = SUFFIXES
    spec: ManifestSource

    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        """Pieces of the lines. Raises UnreadableFileError where the file is no table, or lacks a column."""
        return ranges.cut(0, len(self._listing(file.name).entries), shard_rows)

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        """The lines with their images, whatever these are now."""
        entries = list(self._listing(name).entries.values())[start:stop]
        for entry, content in self._fetched(name, entries):
            image = content if isinstance(content, bytes) else FileError(f"the image cannot be read: {content}")
            yield StoredRow(entry.label, image, None, entry.values)

    def labels(self, file: SourceFile) -> Iterator[Any]:
        """Labels of the lines."""
        return (entry.label for entry in self._listing(file.name).entries.values())

    def text_labels(self) -> bool:
        """Whether labels are names. Raises JobError where they are in one file and not in another."""
        labels = ((file.name, label) for file in self.readable_files for label in self.labels(file))
        kinds = ((name, isinstance(label, str)) for name, label in labels if label is not None)
        return are_text(kinds, "source.label: labels are")

    def column_types(self) -> Iterator[tuple[str, dict[str, pa.DataType]]]:
        """Types of the columns beside the path, by file."""
        return ((file.name, dict(self._listing(file.name).types)) for file in self.readable_files)

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows, and those that are lost. Raises RunError where a line or its image changed since."""
        return StoredReader.read(self, source_range, image, classes)

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their lines and images."""
        lines = {
            (part.file, member): self._listing(part.file).entries[member] for part in parts for member in part.members
        }
        found = self._digests(lines)
        lost = next((key for key, one in found.items() if one == UNREADABLE), None)
        if lost is not None and self.spec.unreadable == "fail":
            raise UnreadableFileError(f"source.path: {lost[0]} lists {lost[1]}, which cannot be read")
        rows = {key: _row_digest(lines[key], found[key]) for key in lines}
        unreadable = self._digests_of_unreadable(parts)

        def fix(part: records.SourceRange) -> records.SourceRange:
            if part.unreadable:
                return part.model_copy(update={"digest": unreadable[part.file]})
            own = [rows[part.file, member] for member in part.members]
            short = tuple(row[:_SHORT] for row in own)
            return part.model_copy(update={"digest": digest(own), "member_digests": short})

        return [fix(part) for part in parts]

    def _digests(self, lines: Mapping[tuple[str, str], Entry]) -> dict[tuple[str, str], str]:
        """Digests of the images of lines by file and name."""
        places = {key: self._place_of(key[0], entry) for key, entry in lines.items()}
        local = {"/".join(key): path for key, (fs, path) in places.items() if is_local(fs)}
        far = [key for key, (fs, _) in places.items() if not is_local(fs)]
        with digest_cache(self._place) as cache:
            found = cache.digests(local, lambda path: digest_or_unreadable(content_digest, self._local, path))
        remote = in_parallel(lambda key: digest_or_unreadable(fingerprint, *places[key]), far)
        return {key: found["/".join(key)] for key in lines if "/".join(key) in found} | dict(
            zip(far, remote, strict=True)
        )

    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        for part in super()._ranges(shard_rows):
            names = [] if part.unreadable else list(self._listing(part.file).entries)[part.start : part.stop]
            yield part.model_copy(update={"members": tuple(names)})

    def _rows(self, source_range: records.SourceRange) -> Iterator[RawRow]:
        if source_range.unreadable:
            yield from super()._rows(source_range)
            return
        listing, planned = (
            self._listing(source_range.file).entries,
            dict(zip(source_range.members, source_range.member_digests, strict=False)),
        )
        if gone := [member for member in source_range.members if member not in listing]:
            raise RunError(f"{source_range.file} lists {gone[0]} no more; start the job again")
        entries = [listing[member] for member in source_range.members]
        for entry, content in self._fetched(source_range.file, entries):
            image = self._checked(source_range.file, entry, content, planned.get(entry.name, ""))
            row = StoredRow(entry.label, image, None, entry.values)
            yield self._raw(f"{source_range.file}/{entry.name}", 0, row)

    def _checked(self, name: str, entry: Entry, content: bytes | Exception, planned: str) -> Any:
        """The image of a line, or why there is none. Raises RunError where it is not the one that was planned."""
        known = digests_of(content) if planned and isinstance(content, bytes) else ()
        if any(_row_digest(entry, one).startswith(planned) for one in known):
            return content
        lost = isinstance(content, OUT_OF_REACH) if not planned else _row_digest(entry, UNREADABLE).startswith(planned)
        fs, path = self._place_of(name, entry)
        if lost:
            why = out_of_reach(content, path) if isinstance(content, OSError) else "could not when the run was planned"
            return FileError(f"the image cannot be read: it {why}")
        with still_there(entry.name):
            if isinstance(content, Exception):
                raise content
        most = int(Limits.from_environment().value_mib * MIB)
        if len(content) > most:
            return ImageTooLargeError(f"holds more than {variable('value_mib')} allows ({most / MIB:g} MiB)")
        if planned:
            tag = tag_digest(fs.info(path))
            if tag is None or not _row_digest(entry, tag).startswith(planned):
                raise changed(entry.name)
        return content

    def _fetched(self, name: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes | Exception]]:
        """Each line and the bytes of its image, at most one more than is allowed; or why they cannot be had."""
        most = int(Limits.from_environment().value_mib * MIB)

        def fetch(entry: Entry) -> bytes | Exception:
            fs, path = self._place_of(name, entry)
            try:
                data: bytes = start_of(path, most) if is_local(fs) else fs.cat_file(path, start=0, end=most + 1)
            except OUT_OF_REACH as error:
                return error
            except OSError:  # S3 has no part of an object that is empty
                data = fs.cat_file(path)
            return data

        for start in range(0, len(entries), FETCHED_AT_ONCE):
            some = entries[start : start + FETCHED_AT_ONCE]
            near = all("://" not in entry.place for entry in some) and is_local(self._place.fs)
            yield from zip(some, map(fetch, some) if near else in_parallel(fetch, some), strict=True)

    def _place_of(self, name: str, entry: Entry) -> tuple[Any, str]:
        """File system and path of an image; relative paths start from the folder of the table."""
        if "://" in entry.place:
            return opened(entry.place, entry.name, "source.path")
        if entry.place.startswith("/"):
            return self._local, entry.place
        folder = self._place.path_of(name).rpartition("/")[0]
        plain = entry.place if "./" not in entry.place and "//" not in entry.place else PurePosixPath(entry.place)
        return self._place.fs, f"{folder}/{plain}"

    @cached_property
    def _local(self) -> Any:
        return opened("/", "/", "source.path")[0]

    @cached_property
    def _listings(self) -> dict[str, Listing]:
        return {}

    def _listing(self, name: str) -> Listing:
        found = self._as_planned.digest(name)
        if found not in self._listings:
            with self.open(name) as handle:
                self._listings[found] = listing_of(handle.read(), name, self.spec)
        return self._listings[found]


def _row_digest(entry: Entry, image: str) -> str:
    return digest([*entry.text, image])
