"""Iceberg tables: the Parquet files that a snapshot of the table consists of, as its metadata tell."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from hardset.pipeline.sources.base import Versions
from hardset.pipeline.sources.files import Place, SourceFile, resolve, storage_faults
from hardset.pipeline.sources.fingerprints import is_local
from hardset.pipeline.sources.parquet import ParquetReader
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import IcebergSource

_NUMBER = re.compile(r"v?(\d+)\b[^/]*\.metadata\.json$")
"""Name of a metadata file, which begins with a number that grows with every commit."""


@dataclass(frozen=True)
class IcebergReader(ParquetReader):
    """Reads the files of one snapshot of a table. Files never change, so a range is held to its file's digest."""

    spec: IcebergSource
    folder_wanted = "the root of an Iceberg table"

    @cached_property
    def every_file(self) -> list[SourceFile]:
        """The files of the snapshot, of all splits. Raises JobError: no table, no such snapshot, rows taken out."""
        with _table(self.spec) as table, storage_faults(self.name):
            snapshot = _snapshot(table, self.spec)
            _check_columns(table.metadata, self.spec, self.name)
            paths = sorted(_data_files(table, snapshot, self.name))
        names = self.names_that_count()
        files = [
            SourceFile(name, self._place.path_of(name), {})
            for name in (_relative(path, self._place) for path in paths)
            if names.takes(name)
        ]
        if not files:
            raise JobError(f"source.path: snapshot {snapshot.snapshot_id} of {self.name} has no files{self._left_out}")
        return files


def _newest(spec: IcebergSource) -> str:
    """Id of the snapshot that a run reads. Raises JobError where it is not there."""
    with _table(spec) as table:
        return str(_snapshot(table, spec).snapshot_id)


def _at_snapshot(spec: IcebergSource, version: str) -> IcebergSource:
    return spec.model_copy(update={"snapshot": int(version)})


VERSIONS = Versions(_newest, _at_snapshot)


@contextmanager
def _table(spec: IcebergSource) -> Iterator[Any]:
    """The table as its catalogue has it now, or by the newest metadata file in its folder. Raises JobError."""
    try:
        load_catalog, tables = import_module("pyiceberg.catalog").load_catalog, import_module("pyiceberg.table")
        errors = import_module("pyiceberg.exceptions")
    except ImportError:
        raise JobError("source.format: iceberg needs the library pyiceberg; pip install hardset[iceberg]") from None
    place = resolve(spec.path)
    # fsspec finds the credentials and endpoint that the files are read with.
    settings = {} if is_local(place.fs) else {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}
    if spec.catalog is None:
        with storage_faults(place.name):
            table = tables.StaticTable.from_metadata(_metadata(place), settings)
        yield table
        return
    shown = public_name(spec.catalog)
    named = {"uri": spec.catalog} if "://" in spec.catalog else {}
    with storage_faults(shown, at="source.catalog"):
        try:
            catalogue = load_catalog("hardset" if named else spec.catalog, **named, **settings)
        except ValueError as error:
            raise JobError(f"source.catalog: {shown} is no catalogue that pyiceberg knows: {error}") from None
        with closing(catalogue):
            try:
                table = catalogue.load_table(spec.table)
            except (errors.NoSuchTableError, errors.NoSuchNamespaceError):
                raise JobError(
                    f"source.table: {shown} has no table {spec.table}; check the name, and of a catalogue in a "
                    "database give the name that pyiceberg's configuration has for it, as tables are kept under it"
                ) from None
            yield table


def _metadata(place: Place) -> str:
    """URL of the newest metadata file of a table: that which its version hint names, or else of the highest number."""
    folder = f"{place.root}/metadata"
    found = [str(path) for path in place.fs.ls(folder, detail=False)] if place.fs.isdir(folder) else []
    numbers = {path: int(match[1]) for path in found if (match := _NUMBER.match(path.rpartition("/")[2]))}
    if not numbers:
        raise JobError(f"source.path: {place.name} is no Iceberg table; it has no metadata/*.metadata.json")
    hint = f"{folder}/version-hint.text"
    if hint in found:
        told = place.fs.cat_file(hint).decode().strip()
        newest = [path for path, number in numbers.items() if told in (str(number), path.rpartition("/")[2])]
    else:
        newest = [path for path, number in numbers.items() if number == max(numbers.values())]
    if len(newest) != 1:
        raise JobError(
            f"source.path: {place.name} has {len(newest)} metadata files that may be the newest, as two writers leave "
            "them; only the table's catalogue tells which it is: set source.catalog and source.table"
        )
    return str(place.fs.unstrip_protocol(newest[0]))


def _snapshot(table: Any, spec: IcebergSource) -> Any:
    name = public_name(spec.path)
    if spec.snapshot is None:
        found = table.current_snapshot()
        if found is None:
            raise JobError(f"source.path: {name} has no snapshot, so it holds no rows yet")
        return found
    found = table.snapshot_by_id(spec.snapshot)
    if found is None:
        there = ", ".join(str(one.snapshot_id) for one in table.snapshots()[-5:])
        raise JobError(
            f"source.snapshot: {name} has no snapshot {spec.snapshot}; its latest are: {there}; unset it for the newest"
        )
    return found


def _data_files(table: Any, snapshot: Any, name: str) -> Iterator[str]:
    """Paths of the data files of a snapshot. Raises JobError where they alone do not tell the rows."""
    contents = import_module("pyiceberg.manifest")
    for manifest in snapshot.manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            if file.content != contents.DataFileContent.DATA:
                raise JobError(
                    f"source.path: snapshot {snapshot.snapshot_id} of {name} has delete files, such as "
                    f"{public_name(file.file_path).rpartition('/')[2]}, which take rows out of its data files; compact "
                    "it (rewrite_data_files in Spark, OPTIMIZE in Trino), and read the snapshot after that"
                )
            if file.file_format != contents.FileFormat.PARQUET:
                raise JobError(
                    f"source.path: {name} holds {public_name(file.file_path)}, which is {file.file_format.value}; only "
                    "Parquet files are read"
                )
            yield file.file_path


def _check_columns(metadata: Any, spec: IcebergSource, name: str) -> None:
    """Raises JobError where a column that is read had another name: files from before that hold it under the old one.

    Iceberg knows columns by number, readers of Parquet by name.
    """
    names, numbers = defaultdict[int, set[str]](set), defaultdict[str, set[int]](set)
    for schema in metadata.schemas:
        for number, column in import_module("pyiceberg.schema").index_name_by_id(schema).items():
            names[number].add(column)
            numbers[column].add(number)
    for column in sorted(numbers):
        if column.partition(".")[0] not in (spec.image, spec.label, *spec.keep):
            continue
        if len(numbers[column]) > 1 or any(len(names[number]) > 1 for number in numbers[column]):
            raise JobError(
                f"source.path: {name}: the column {column!r} was renamed, or dropped and added again, so that older "
                "files hold other values under its name, or none; rewrite the table's files, or write its rows to "
                "Parquet"
            )


def _relative(path: str, place: Place) -> str:
    """Name of a data file relative to the source. Raises JobError where it lies elsewhere."""
    inner = str(place.fs._strip_protocol(path))
    if not inner.startswith(f"{place.root}/"):
        raise JobError(
            f"source.path: the table lists {public_name(path)}, which lies outside of {place.name}; name a folder "
            "above all files of the table, with source.catalog and source.table"
        )
    return inner[len(place.root) + 1 :]
