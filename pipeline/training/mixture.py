"""Training rows of several kinds, and batches that mix them, drawn from a seed and nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels

CLEAN = "clean"
"""Kind of the rows of the source as they are; its number of rows is what an epoch is counted by."""
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class RowsOfKind:
    """Rows of one kind."""

    pixels: Pixels
    labels: NDArray[np.int64]
    seeds: NDArray[np.int64]
    """Root of each row's randomness, from its key."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Pick:
    """Rows of one kind in a batch, by their positions."""

    kind: str
    rows: Indices


@dataclass(frozen=True)
class TrainingRows:
    """Parts by kind, and how a batch mixes them."""

    parts: Mapping[str, RowsOfKind]
    """Holds `clean`; a kind without rows may be left out."""
    batch: int
    """Batch size in rows."""
    seed: int
    shares: Mapping[str, float] = field(default_factory=lambda: {CLEAN: 1.0})
    """Share of each kind in a batch; they add up to 1. The share of a kind that has no rows goes to the largest."""

    @property
    def steps(self) -> int:
        """Batches in an epoch: as many rows as there are clean ones."""
        return max(1, round(len(self.parts[CLEAN]) / self.batch))

    def counts(self) -> dict[str, int]:
        """Number of rows of each kind in a batch, by largest remainder."""
        filled = {kind: share for kind, share in self.shares.items() if share > 0 and len(self.parts.get(kind, ()))}
        if not filled:
            return {CLEAN: self.batch}
        largest = max(filled, key=lambda kind: filled[kind])
        filled[largest] += 1 - sum(filled.values())
        exact = {kind: share * self.batch for kind, share in filled.items()}
        counts = {kind: int(value + 1e-9) for kind, value in exact.items()}
        for kind in sorted(exact, key=lambda kind: counts[kind] - exact[kind])[: self.batch - sum(counts.values())]:
            counts[kind] += 1
        return counts

    def picks(self, step: int) -> tuple[Pick, ...]:
        """The rows of batch `step`, counted from 0 over all epochs.

        Of each kind the batches read one endless stream, in which every row comes once before any comes twice.
        """
        return tuple(
            Pick(kind, self._stream(kind, step * count, (step + 1) * count)) for kind, count in self.counts().items()
        )

    def _stream(self, kind: str, start: int, stop: int) -> Indices:
        rows = len(self.parts[kind])
        turns = range(start // rows, (stop - 1) // rows + 1) if stop > start else range(0)
        ordered = [self._order(kind, turn, rows) for turn in turns]
        first = start - (start // rows) * rows
        return np.concatenate(ordered)[first : first + stop - start] if ordered else np.zeros(0, np.int64)

    def _order(self, kind: str, turn: int, rows: int) -> Indices:
        key = np.random.SeedSequence([self.seed, zlib.crc32(kind.encode()), turn])
        return np.random.Generator(np.random.Philox(key)).permutation(rows)
