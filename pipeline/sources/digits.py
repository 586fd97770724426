"""The handwritten digits that come with hardset: 1,797 images, 8 x 8, grey, ten classes.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49), licence CC BY 4.0, in the order of scikit-learn's `load_digits`. The bundled
file holds the original ink counts 0 to 16; a pixel is round(count * 255 / 16).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources import cleaning, ranges
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.splits import selected
from hardset.pipeline.sources.stratified import by_first, chosen
from hardset.schemas.digests import sha256_hex
from hardset.schemas.job.sources import DigitsSource, Limit
from hardset.schemas.records import run as records

# The last fifth, not every fifth row: the rows lie in the order of their writers, so hardly any writer of the test
# rows wrote train rows, and its classes are balanced (33 to 37 rows each).
_SPLITS = {"train": (0, 1437), "test": (1437, 1797)}


@dataclass(frozen=True)
class DigitsReader:
    """Reads the bundled digits. Rows 0 to 1436 are the split train, rows 1437 to 1796 test; keys are `digits#<row>`."""

    spec: DigitsSource

    @property
    def name(self) -> str:
        """`digits`."""
        return "digits"

    def class_names(self) -> tuple[str, ...]:
        """The digits 0 to 9."""
        return tuple("0123456789")

    def probe(self) -> records.Image:
        """8 x 8 grey, unless the job says otherwise."""
        return cleaning.probe_image(self._rows([0]), self.spec)

    def plan(self, shard_rows: int) -> list[records.SourceRange]:
        """Ranges of the selected splits. Raises JobError: unknown split."""
        limit = self.spec.limit
        pieces = self._stratified(limit.rows, shard_rows) if isinstance(limit, Limit) else self._ranges(shard_rows)
        return ranges.planned(pieces, self.fixed, limit, self.name)

    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        for split, name in selected(_SPLITS, str, self.spec.splits):
            for start, stop in ranges.cut(*_SPLITS[name], shard_rows):
                yield records.SourceRange(split=split, file="digits", start=start, stop=stop, digest="")

    def _stratified(self, rows: int, shard_rows: int) -> Iterator[records.SourceRange]:
        labels, splits = self._arrays[1], selected(_SPLITS, str, self.spec.splits)
        candidates = (
            (int(labels[row]), f"digits#{row}", (number, row))
            for number, (_, name) in enumerate(splits)
            for row in range(*_SPLITS[name])
        )
        for number, picked in by_first(chosen(candidates, rows)):
            split = splits[number][0]
            for start, stop in ranges.cut(0, len(picked), shard_rows):
                these = tuple(picked[start:stop])
                yield records.SourceRange(split=split, file="digits", start=start, stop=stop, digest="", picked=these)

    def labels_in(self, part: records.SourceRange) -> list[int]:
        """Labels of the rows of a range."""
        return [int(self._arrays[1][part.position(row)]) for row in range(part.start, part.stop)]

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digest of all rows."""
        digest = sha256_hex(self._arrays[0].tobytes() + self._arrays[1].tobytes())
        return [part.model_copy(update={"digest": digest}) for part in parts]

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows."""
        rows = self._rows(source_range.position(row) for row in range(source_range.start, source_range.stop))
        return cleaning.clean_rows(rows, self.spec, image, classes)

    def _rows(self, positions: Iterable[int]) -> Iterator[RawRow]:
        images, labels = self._arrays
        for row in positions:
            yield RawRow(f"digits#{row}", row, int(labels[row]), images[row])

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pixels (1797 x 8 x 8) and labels, both uint8."""
        data = files("hardset.pipeline.sources").joinpath("digits.npz").read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return np.rint(arrays["images"] * (255 / 16)).astype(np.uint8), arrays["labels"]
