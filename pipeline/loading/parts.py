"""Rows of one kind as batches take them: in memory, or read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.loading.order import Groups, Indices

Values = NDArray[Any]
"""Values of a column (N,) without gaps: numbers, truth values, or text as objects."""
EMPTY: Mapping[str, Any] = MappingProxyType({"i": -1, "f": float("nan"), "b": False, "O": ""})
"""What stands for an empty value, by the kind of its numpy type: integers, floats, truth values, text."""

_AT_ONCE = 4096


class Part(Protocol):
    """Rows of one kind. Pickles, so that workers get it."""

    @property
    def groups(self) -> Groups | None:
        """Row groups that the rows lie in; None where any row is as near as any other."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: Indices) -> RowsOfKind:
        """The rows with these numbers, in their order."""
        ...


@dataclass(frozen=True)
class RowsOfKind:
    """Rows in memory."""

    pixels: Pixels
    labels: NDArray[np.int64]
    seeds: NDArray[np.int64]
    """Root of each row's randomness, from its key."""
    columns: Mapping[str, Values] = field(default_factory=dict)
    """Further columns that were asked for."""

    @property
    def groups(self) -> Groups | None:
        """None: any row is as near as any other."""
        return None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Indices) -> RowsOfKind:
        """The rows with these numbers, in their order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return RowsOfKind(self.pixels[rows], self.labels[rows], self.seeds[rows], columns)


def whole(part: Part) -> RowsOfKind:
    """All rows of a part, in memory."""
    if isinstance(part, RowsOfKind):
        return part
    starts = range(0, max(len(part), 1), _AT_ONCE)
    return joined([part.take(np.arange(start, min(start + _AT_ONCE, len(part)))) for start in starts])


def joined(parts: Sequence[RowsOfKind]) -> RowsOfKind:
    """The rows of one or more parts, one part after the other; a column that a part lacks is empty there."""
    if len(parts) == 1:
        return parts[0]
    kinds = {name: values.dtype for part in parts for name, values in part.columns.items()}
    return RowsOfKind(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.seeds for part in parts]),
        {
            name: np.concatenate([part.columns.get(name, np.full(len(part), EMPTY[kind.kind], kind)) for part in parts])
            for name, kind in kinds.items()
        },
    )
