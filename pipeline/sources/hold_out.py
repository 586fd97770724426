"""Reader of one part of a source: the rows that a hash of their keys holds out, or the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources.base import SourceReader, has_text_labels, user_types_of, warnings_of
from hardset.schemas.digests import sha256_hex
from hardset.schemas.job.sources import HoldOut
from hardset.schemas.records import run as records

_BITS = 64


@dataclass(frozen=True)
class HeldOutReader:
    """Reads a part of another source's rows; plans, shape and classes are those of the whole."""

    whole: SourceReader
    spec: HoldOut

    @property
    def name(self) -> str:
        """Name of the whole source."""
        return self.whole.name

    def class_names(self) -> tuple[str, ...] | None:
        """Class names of the whole source."""
        return self.whole.class_names()

    def user_types(self) -> dict[str, pa.DataType]:
        """Types of the columns that rows of the whole source carry."""
        return user_types_of(self.whole)

    def labels_in(self, part: records.SourceRange) -> Iterable[Any]:
        """Labels of the rows of a range of the whole source."""
        look: Callable[[records.SourceRange], Iterable[Any]] | None = getattr(self.whole, "labels_in", None)
        return () if look is None else look(part)

    def text_labels(self) -> bool:
        """Whether labels of the whole source are names."""
        return has_text_labels(self.whole)

    def warnings(self) -> tuple[str, ...]:
        """What the reader of the whole source takes for granted."""
        return warnings_of(self.whole)

    def probe(self) -> records.Image:
        """Shape of the rows of the whole source."""
        return self.whole.probe()

    def plan(self, shard_rows: int) -> list[records.SourceRange]:
        """Ranges of the whole source; a range counts the rows of both parts."""
        return self.whole.plan(shard_rows)

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their bytes in the whole source."""
        return self.whole.fixed(parts)

    def read(
        self, source_range: records.SourceRange, image: records.Image, classes: int
    ) -> tuple[CleanRows, list[Reject]]:
        """The rows of the part, and those of it that are lost; `held_out` counts the rest."""
        rows, rejects = self.whole.read(source_range, image, classes)
        if source_range.unreadable:  # the file is lost to both parts
            return rows, rejects
        lost = [reject for reject in rejects if self._wanted(reject.key)]
        kept = np.array([at for at, key in enumerate(rows.keys) if self._wanted(key)], np.int64)
        others = len(rows) - len(kept) + len(rejects) - len(lost)
        return replace(rows.take(kept), held_out=others), lost

    def _wanted(self, key: str) -> bool:
        return held_out(key, self.spec) == (self.spec.part == "held_out")


def held_out(key: str, spec: HoldOut) -> bool:
    """Whether the row with this key is held out."""
    number = int(sha256_hex(f"hold_out/{spec.seed}/{key}")[: _BITS // 4], 16)
    return number < int(spec.fraction * 2.0**_BITS)
