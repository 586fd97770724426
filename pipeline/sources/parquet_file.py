"""Parquet files as pyarrow reads them through fsspec."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.sources.unreadable import UnreadableFileError, what_lies_there

_HEAD = 256


class OpenedParquet:
    """A file as pyarrow reads it through fsspec. Remembers a fault of storage, which is not to pass for corruption."""

    def __init__(self, fs: Any, path: str, *, buffer: int) -> None:
        self.fault: Exception | None = None
        self._handle = fs.open(path, "rb")
        self._buffer = buffer
        self.seek, self.tell = self._handle.seek, self._handle.tell

    def __enter__(self) -> OpenedParquet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def parquet(self, name: str) -> pq.ParquetFile:
        """Raises UnreadableFileError where it is no Parquet file."""
        try:
            # A buffer makes pyarrow stream column chunks; without one it loads those of a row group whole.
            return pq.ParquetFile(
                pa.PythonFile(self, "r"), buffer_size=self._buffer, pre_buffer=False, page_checksum_verification=True
            )
        except (pa.ArrowException, OSError) as error:
            if self.fault is not None:
                raise self.fault from None
            raise UnreadableFileError(f"source.path: {name} {self._what(error)}") from error

    def _what(self, error: Exception) -> str:
        self._handle.seek(0)
        told = what_lies_there(self._handle.read(_HEAD))
        if told is None and "encrypted" in str(error):
            told = "is encrypted; hardset has no key to it"
        return told or f"is no Parquet file, or is truncated: {error}; put the whole file there"

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._handle.read(size)
        except Exception as error:
            self.fault = error
            raise
        return data

    @property
    def closed(self) -> bool:
        return bool(self._handle.closed)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._handle.close()
