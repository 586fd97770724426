"""Reading a dataset's files: chosen columns in batches, and single rows with their images."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.dataset.files.quarantine import quarantine_table
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError, one_line
from hardset.schemas.records.run import DataFile
from hardset.schemas.rows.contract import COLUMNS, QUARANTINE_SCHEMA, VERSIONS, Column

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class ScannedRows:
    """Some columns of consecutive rows of one file."""

    path: str
    start: int
    """Position of the first row in the file."""
    columns: pa.RecordBatch


class UnreadableFileError(Exception):
    """A file that a manifest lists is missing or is no Parquet file; the message says which and why."""


def batches(folder: Folder, file: DataFile, columns: Sequence[str]) -> Iterator[ScannedRows]:
    """The columns of a file, at most `BATCH_ROWS` rows at a time. Raises UnreadableFileError.

    Columns that a file of an older row contract lacks are empty, and come last.
    """
    start = 0
    opened = _open(folder, file)
    lacking = _lacking(opened, file, columns)
    try:
        for columns_read in opened.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False):
            yield ScannedRows(file.path, start, _with_empty(columns_read, lacking))
            start += columns_read.num_rows
    except (UserError, pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFileError(f"{file.path}: {one_line(error, 200)}") from error


def _lacking(opened: pq.ParquetFile, file: DataFile, columns: Sequence[str]) -> list[Column]:
    """Columns that came with a later version of the row contract than the file's. Raises UnreadableFileError."""
    names = set(columns) - set(opened.schema_arrow.names)
    later = [column for column in COLUMNS if column.name in names and column.since != VERSIONS[0]]
    if gone := names - {column.name for column in later}:
        raise UnreadableFileError(f"{file.path}: has no column {', '.join(sorted(gone))}")
    return later


def _with_empty(rows: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    for column in columns:
        rows = rows.append_column(column.name, pa.nulls(len(rows), column.type))
    return rows


def rows_at(folder: Folder, file: DataFile, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Whole rows of a file by position; only the row groups that hold them are read. Raises UnreadableFileError."""
    found: dict[int, dict[str, Any]] = {}
    wanted, start = sorted(set(positions)), 0
    opened = _open(folder, file)
    try:
        for group in range(opened.num_row_groups):
            stop = start + opened.metadata.row_group(group).num_rows
            here = [position for position in wanted if start <= position < stop]
            if here:
                table = opened.read_row_group(group, use_threads=False)
                rows = table.take([position - start for position in here]).to_pylist()
                found |= dict(zip(here, rows, strict=True))
            start = stop
    except (UserError, pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFileError(f"{file.path}: {one_line(error, 200)}") from error
    return found


def quarantine_records(folder: Folder, file: DataFile) -> list[dict[str, Any]]:
    """The records of a quarantine file. Raises UnreadableFileError."""
    try:
        table = quarantine_table(file.path, folder.read(file.path))
        records: list[dict[str, Any]] = table.select(QUARANTINE_SCHEMA.names).to_pylist()
    except FileNotFoundError:
        raise UnreadableFileError(f"{file.path}: is missing") from None
    except (UserError, pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise UnreadableFileError(f"{file.path}: {one_line(error, 200)}") from error
    return records


class StoredFile(io.RawIOBase):
    """A stored file that fetches only what is asked for, so that the images are never read for their provenance."""

    def __init__(self, folder: Folder, file: DataFile) -> None:
        super().__init__()
        self._folder, self._file, self._place = folder, file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.bytes}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        stop = self._file.bytes if size < 0 else min(self._place + size, self._file.bytes)
        data = self._folder.read_part(self._file.path, self._place, stop) if stop > self._place else b""
        self._place += len(data)
        return data


def _open(folder: Folder, file: DataFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(StoredFile(folder, file), page_checksum_verification=True)
    except FileNotFoundError:
        raise UnreadableFileError(f"{file.path}: is missing") from None
    except (UserError, pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFileError(f"{file.path}: {one_line(error, 200)}") from error
