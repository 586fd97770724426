"""A source of one's own: grey images as lines of numbers, as MNIST often comes.

In a job file:

    source: {format: "source:LINES", path: digits/, height: 28, width: 28}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from hardset.extending import RowError, RowFiles, Source, SourceFile, StoredRow, StoredSource, cut


class Lines(StoredSource):
    """Files of lines: the label, then one level from 0 to 255 for every pixel, row by row."""

    code: ClassVar[int] = 1
    """Raise it when the reader begins to give other rows from the same bytes: they are then made anew."""

    height: Annotated[int, Field(ge=1)] = 28
    """Rows of pixels."""
    width: Annotated[int, Field(ge=1)] = 28
    """Columns of pixels."""


class BadLineError(RowError):
    """A line holds no image; its row goes to quarantine."""


@dataclass(frozen=True)
class LineReader(RowFiles):
    """Reads .csv files. Finding files, splits, digests and keys are those of every source of files."""

    suffix = ".csv"
    spec: Lines

    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        """As many rows as there are lines."""
        with self.open(file.name) as lines:
            return cut(0, sum(1 for _ in lines), shard_rows)

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        """Lines `start` to before `stop`."""
        with self.open(name) as lines:
            yield from map(self._row, islice(lines, start, stop))

    def _row(self, line: bytes) -> StoredRow:
        try:
            label, *levels = map(int, line.split(b","))
            return StoredRow(label, np.array(levels, np.uint8).reshape(self.spec.height, self.spec.width))
        except (ValueError, OverflowError) as error:
            return StoredRow(0, BadLineError(f"{line[:20]!r} is no label and image: {error}"))


LINES = Source(Lines, LineReader)
