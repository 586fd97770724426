"""Sources of clean rows. A new one is one new file here, and one line in `READERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.sources.base import SourceReader, key_of, narrowed
from pipeline.sources.digits import DigitsReader
from pipeline.sources.hold_out import HeldOutReader
from pipeline.sources.imagefolder import ImageFolderReader
from pipeline.sources.npz import NpzReader
from pipeline.sources.parquet import ParquetReader
from schemas.sources import DigitsSource, ImageFolderSource, ImageSource, NpzSource, ParquetSource

READERS: Mapping[type[ImageSource], Callable[[Any], SourceReader]] = {
    DigitsSource: DigitsReader,
    ParquetSource: ParquetReader,
    ImageFolderSource: ImageFolderReader,
    NpzSource: NpzReader,
}
"""Which reader reads what a job file asks for."""


def open_source(spec: ImageSource) -> SourceReader:
    """The reader of a job's `source` section. Touches no storage yet."""
    reader = READERS[type(spec)](spec)
    return reader if spec.hold_out is None else HeldOutReader(reader, spec.hold_out)


__all__ = ["READERS", "SourceReader", "key_of", "narrowed", "open_source"]
