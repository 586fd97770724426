"""The range that a worker read last: its rows are read, decoded and asked about once for all recipes of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.judging.judge import Floats
from hardset.schemas.records.run import SourceRange


@dataclass(frozen=True)
class RangeRows:
    """Rows of a range, and what models said of them."""

    clean: CleanRows
    rejects: Sequence[Reject]
    asked: dict[str, Floats] = field(default_factory=dict)
    """Logits of the clean rows by the role of a model, as its judge gave them; written by the stage `device`."""


class LastRange:
    """Memory for the rows of one range. Belongs to the stage `read`."""

    def __init__(self) -> None:
        self._range: SourceRange | None = None
        self._rows: RangeRows | None = None

    def rows(self, wanted: SourceRange, read: Callable[[], RangeRows]) -> RangeRows:
        """The rows of a range, from `read` unless they were the last; in copies, since recipes may write into them."""
        if self._rows is None or self._range != wanted:
            self._range = self._rows = None  # not two ranges in memory at once
            self._rows, self._range = read(), wanted
        clean = self._rows.clean
        own = replace(clean, pixels=clean.pixels.copy(), labels=clean.labels.copy(), indices=clean.indices.copy())
        return replace(self._rows, clean=own)
