"""Which reader reads what a job file asks for. A new source is one file beside this one, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.digits import DigitsReader
from hardset.pipeline.sources.hold_out import HeldOutReader
from hardset.pipeline.sources.imagefolder import ImageFolderReader
from hardset.pipeline.sources.npz import NpzReader
from hardset.pipeline.sources.parquet import ParquetReader
from hardset.schemas.job.sources import DigitsSource, ImageFolderSource, ImageSource, NpzSource, ParquetSource

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
