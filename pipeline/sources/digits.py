"""The handwritten digits that come with hardset: 1,797 images, 8 x 8, grey, ten classes.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49), licence CC BY 4.0, in the order of scikit-learn's `load_digits`. The bundled
file holds the original ink counts 0 to 16; a pixel is round(count * 255 / 16).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources import cleaning, ranges
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.splits import selected
from hardset.schemas.digests import sha256_hex
from hardset.schemas.job.sources import DigitsSource
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
        return cleaning.probe_image(self._rows(0, 1), self.spec)

    def plan(self, shard_rows: int) -> list[records.SourceRange]:
        """Ranges of the selected splits. Raises JobError: unknown split."""
        pieces = (
            records.SourceRange(split=split, file="digits", start=start, stop=stop, digest="")
            for split, name in selected(_SPLITS, str, self.spec.splits)
            for start, stop in ranges.cut(*_SPLITS[name], shard_rows)
        )
        return ranges.planned(pieces, self.fixed, self.spec.limit, self.name)

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digest of all rows."""
        digest = sha256_hex(self._arrays[0].tobytes() + self._arrays[1].tobytes())
        return [part.model_copy(update={"digest": digest}) for part in parts]

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The range's rows."""
        return cleaning.clean_rows(self._rows(source_range.start, source_range.stop), self.spec, image, classes)

    def _rows(self, start: int, stop: int) -> Iterator[RawRow]:
        images, labels = self._arrays
        for row in range(start, stop):
            yield RawRow(f"digits#{row}", row, int(labels[row]), images[row])

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pixels (1797 x 8 x 8) and labels, both uint8."""
        data = files("hardset.pipeline.sources").joinpath("digits.npz").read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return np.rint(arrays["images"] * (255 / 16)).astype(np.uint8), arrays["labels"]
