"""Delta tables: the Parquet files that a version of the table consists of, as its log tells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from hardset.pipeline.sources.base import Versions
from hardset.pipeline.sources.files import SourceFile, resolve, storage_faults
from hardset.pipeline.sources.fingerprints import is_local
from hardset.pipeline.sources.parquet import ParquetReader
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import DeltaSource

_UNREAD_FEATURES = {"deletionVectors": "deletion vectors", "columnMapping": "renamed columns"}
_UNREAD_SETTINGS = {"delta.enableDeletionVectors": "false", "delta.columnMapping.mode": "none"}
"""Settings by which rows of a file do not count, or columns have other names in the files; and what is read."""


@dataclass(frozen=True)
class DeltaReader(ParquetReader):
    """Reads the files of one version of a table. Files never change, so a range is held to its file's digest."""

    spec: DeltaSource
    folder_wanted = "the root of a Delta table"

    @cached_property
    def every_file(self) -> list[SourceFile]:
        """The files of the version, of all splits. Raises JobError: no table, no such version, features not known."""
        table = _table(self.spec)
        _check_features(table, self.name)
        paths = [unquote(str(path)) for path in pa.table(table.get_add_actions())["path"].to_pylist()]
        if outside := [path for path in paths if "://" in path or path.startswith("/")]:
            raise JobError(
                f"source.path: {self.name} lists {public_name(outside[0])}, which lies outside of its folder"
            )
        names = self.names_that_count()
        files = [SourceFile(path, self._place.path_of(path), {}) for path in sorted(paths) if names.takes(path)]
        if not files:
            raise JobError(f"source.path: version {table.version()} of {self.name} has no files{self._left_out}")
        return files


def _newest(spec: DeltaSource) -> str:
    """Version of the table that a run reads. Raises JobError where it is not there."""
    return str(spec.version if spec.version is not None else _table(spec).version())


def _at_version(spec: DeltaSource, version: str) -> DeltaSource:
    return spec.model_copy(update={"version": int(version)})


VERSIONS = Versions(_newest, _at_version)


def _table(spec: DeltaSource) -> Any:
    try:
        deltalake = import_module("deltalake")
    except ImportError:
        raise JobError("source.format: delta needs the library deltalake; pip install hardset[delta]") from None
    name, place = public_name(spec.path), resolve(spec.path)
    # An endpoint that was given as http:// is meant so; delta-rs wants to be told twice.
    options = {"allow_http": "true"} if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://") else {}
    at = place.root if is_local(place.fs) else spec.path
    with storage_faults(name):
        try:
            return deltalake.DeltaTable(at, version=spec.version, storage_options=options)
        except deltalake.exceptions.TableNotFoundError:
            raise JobError(f"source.path: {name} is no Delta table; it has no log") from None
        except deltalake.exceptions.DeltaError as error:
            if spec.version is None:
                raise
            raise JobError(
                f"source.version: {name} has no version {spec.version} that can be read ({str(error)[:200]}); unset it "
                "for the newest"
            ) from None


def _check_features(table: Any, name: str) -> None:
    """Raises JobError where files alone do not tell the rows."""
    needed = set(table.protocol().reader_features or ())
    found = [told for feature, told in _UNREAD_FEATURES.items() if feature in needed]
    configuration = table.metadata().configuration
    found += [key for key, read in _UNREAD_SETTINGS.items() if configuration.get(key, read).lower() != read]
    if found:
        raise JobError(
            f"source.path: {name} uses {found[0]}, by which its files alone do not tell its rows; write the rows to "
            "Parquet, or rewrite the table without"
        )
