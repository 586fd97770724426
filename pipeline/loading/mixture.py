"""Batches of rows of several kinds, drawn from a seed and the number of the batch and nothing else.

So any worker can make any batch, and a training goes on from the number of its next batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from hardset.pipeline.loading.order import Groups, Indices, pass_order
from hardset.pipeline.loading.parts import Part, RowsOfKind, joined

CLEAN = "clean"
"""Kind of the rows of the source as they are; its number of rows is what an epoch is counted by."""
WINDOW_BYTES = 2**28
"""Bytes of stored rows that are permuted together, in each process at most."""


@dataclass(frozen=True)
class Pick:
    """Rows of one kind in a batch, by their numbers."""

    kind: str
    rows: Indices


@dataclass(frozen=True)
class Taken:
    """Rows of a batch, or of one rank's share of it."""

    rows: RowsOfKind
    kinds: tuple[tuple[str, int], ...]
    """Kinds of the rows, in their order, each with its number of rows."""


class Plan(Protocol):
    """Which rows each batch holds."""

    @property
    def parts(self) -> Mapping[str, Part]: ...

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        ...

    def picks(self, step: int) -> tuple[Pick, ...]:
        """The rows of batch `step`, counted from 0 over all epochs."""
        ...


def share(plan: Plan, step: int, rank: int = 0, ranks: int = 1) -> tuple[Pick, ...]:
    """The rows of batch `step` that are one rank's: every `ranks`-th row of the batch, from row `rank` on."""
    found, start = [], 0
    for pick in plan.picks(step):
        place = np.arange(start, start + len(pick.rows))
        found.append(Pick(pick.kind, pick.rows[place % ranks == rank]))
        start += len(pick.rows)
    return tuple(found)


def take(plan: Plan, step: int, rank: int = 0, ranks: int = 1) -> Taken:
    """The rows of `share`, read."""
    picks = share(plan, step, rank, ranks)
    rows = joined([plan.parts[pick.kind].take(pick.rows) for pick in picks])
    return Taken(rows, tuple((pick.kind, len(pick.rows)) for pick in picks))


@dataclass(frozen=True)
class TrainingRows:
    """Parts by kind, and how a batch mixes them."""

    parts: Mapping[str, Part]
    """A kind without rows may be left out."""
    batch: int
    """Batch size in rows."""
    seed: int
    shares: Mapping[str, float] = field(default_factory=lambda: {CLEAN: 1.0})
    """Share of each kind in a batch; they add up to 1. The share of a kind that has no rows goes to the largest."""
    window_bytes: int = WINDOW_BYTES

    @property
    def steps(self) -> int:
        """Batches in an epoch: as many rows as there are clean ones, or of all kinds where there are none."""
        clean = self.parts.get(CLEAN)
        rows = len(clean) if clean is not None else sum(map(len, self.parts.values()))
        return max(1, round(rows / self.batch))

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
            Pick(kind, self._stream(kind, step * count, (step + 1) * count, count))
            for kind, count in self.counts().items()
        )

    def _stream(self, kind: str, start: int, stop: int, count: int) -> Indices:
        part = self.parts[kind]
        rows = len(part)
        turns = range(start // rows, (stop - 1) // rows + 1) if stop > start else range(0)
        ordered = [
            _order(self.seed, kind, turn, rows, part.groups, count, -turn * rows % max(count, 1), self.window_bytes)
            for turn in turns
        ]
        first = start - (start // rows) * rows
        return np.concatenate(ordered)[first : first + stop - start] if ordered else np.zeros(0, np.int64)


@dataclass(frozen=True)
class WholeEpochs:
    """Every row of one part once in an epoch, in an order of its own."""

    part: Part
    batch: int
    """Batch size in rows."""
    seed: int
    shuffle: bool = True
    """Whether rows come in another order in every epoch, or as they are stored."""
    drop_last: bool = False
    """Whether rows that fill no batch are left out, others in every epoch, or come in a smaller one."""
    kind: str = "rows"
    window_bytes: int = WINDOW_BYTES

    @property
    def parts(self) -> Mapping[str, Part]:
        """The one part."""
        return {self.kind: self.part}

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self.part) // self.batch if self.drop_last else -(-len(self.part) // self.batch)

    def picks(self, step: int) -> tuple[Pick, ...]:
        """The rows of batch `step`, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps)
        start, rows = place * self.batch, len(self.part)
        if not self.shuffle:
            return (Pick(self.kind, np.arange(start, min(start + self.batch, rows))),)
        order = _order(self.seed, self.kind, epoch, rows, self.part.groups, self.batch, 0, self.window_bytes)
        return (Pick(self.kind, order[start : start + self.batch]),)


@lru_cache(maxsize=8)
def _order(
    seed: int, kind: str, turn: int, rows: int, groups: Groups | None, slice_rows: int, lead: int, window_bytes: int
) -> Indices:
    """Order of a turn, that is of one pass over the rows of a kind."""
    key = np.random.SeedSequence([seed, zlib.crc32(kind.encode()), turn])
    generator = np.random.Generator(np.random.Philox(key))
    if groups is None:
        return generator.permutation(rows)
    return pass_order(groups, generator, slice_rows=slice_rows, lead=lead, window_bytes=window_bytes)
