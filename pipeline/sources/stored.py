"""What readers of stored files share: where the files lie, and how ranges of them are probed, planned and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources import cleaning, ranges
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import Place, SourceFile, resolve, storage_faults
from hardset.pipeline.sources.fingerprints import check_unchanged, fingerprint
from hardset.pipeline.sources.splits import selected, split_of_file
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource, NpzSource, ParquetSource
from hardset.schemas.records import run as records

_PROBED_AT_ONCE = 16


class StoredSource(ABC):
    """A source whose rows lie in files of a folder or object store."""

    spec: ImageFolderSource | NpzSource | ParquetSource

    @property
    def name(self) -> str:
        """The path, without credentials and query."""
        return self._place.name

    def probe(self) -> records.Image:
        """Shape of the rows, from the job or the first readable ones. Raises JobError."""
        with storage_faults(self.name):
            first = (raw for part in self._ranges(_PROBED_AT_ONCE) for raw in self._rows(part))
            return cleaning.probe_image(first, self.spec)

    def plan(self, shard_rows: int) -> list[records.SourceRange]:
        """Ranges of at most `shard_rows` rows with their digests. Raises JobError where files cannot be used."""
        with storage_faults(self.name):
            return ranges.planned(self._ranges(shard_rows), self.fixed, self.spec.limit, self.name)

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows, and those that are lost."""
        return cleaning.clean_rows(self._rows(source_range), self.spec, image, classes)

    @cached_property
    def _place(self) -> Place:
        return resolve(self.spec.path)

    @abstractmethod
    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        """All ranges, in source order, without digests."""

    @abstractmethod
    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their bytes."""

    @abstractmethod
    def _rows(self, source_range: records.SourceRange) -> Iterator[RawRow]:
        """The rows of a range, as stored."""


class RowFiles(StoredSource):
    """A source whose files each hold many rows. A range never spans files."""

    suffix: ClassVar[str]
    """Suffix of the files, such as .npz."""

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows, and those that are lost. Raises RunError where the file has changed since the plan."""
        check_unchanged(self._place.fs, self._place.path_of(source_range.file), source_range.digest, source_range.file)
        return super().read(source_range, image, classes)

    @cached_property
    def _files(self) -> list[tuple[str, SourceFile]]:
        """The selected files, each with its split."""
        files = self._place.files(self.suffix)
        if not files:
            raise JobError(f"source.path: {self.name} holds no {self.suffix} files")
        return selected(files, lambda file: split_of_file(file.name), self.spec.splits)

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their files."""
        names = list(dict.fromkeys(part.file for part in parts))
        with digest_cache(self._place) as cache:
            found = cache.digests({name: self._place.path_of(name) for name in names}, self._fingerprint)
        return [part.model_copy(update={"digest": found[part.file]}) for part in parts]

    def _fingerprint(self, path: str) -> str:
        return fingerprint(self._place.fs, path)
