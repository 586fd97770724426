"""The batches that flow through a shard: clean rows in, made rows out, rejects beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hardset.schemas.errors import one_line

Pixels = NDArray[np.uint8]
"""Images as stored: uint8, N x H x W x C, C in {1, 3}."""

ColumnValues = NDArray[np.generic] | Sequence[str | None]


class RowError(Exception):
    """One row cannot be used; its class name and message go to quarantine."""


@dataclass(frozen=True)
class Reject:
    """A source row, or one of its made rows, that is lost, and why."""

    index: int
    """Position inside the source file, or number of the sample."""
    key: str
    stage: Literal["read", "make", "judge"]
    error_class: str
    message: str
    """At most 200 characters."""
    variant: int | None = None
    """None: all variants of the row."""

    @staticmethod
    def of(error: Exception, *, index: int, key: str, stage: Literal["read", "make", "judge"]) -> Reject:
        """The reject that an exception stands for."""
        return Reject(index, key, stage, type(error).__name__, one_line(error, 200))


@dataclass(frozen=True)
class CleanRows:
    """Decoded source rows of one shape. For samples, `pixels` is empty and `labels` holds the classes asked for."""

    pixels: Pixels
    labels: NDArray[np.int64]
    keys: tuple[str, ...]
    """Stable keys in the source; of samples `sample#<number>`."""
    indices: NDArray[np.int64]
    """Positions inside the source file; of samples their numbers."""
    sha256: tuple[str, ...] = ()
    """Digest of each row's pixels; empty for samples."""
    row_ids: tuple[str | None, ...] = ()
    """Row ids of rows that an earlier run made; empty where there are none."""
    user: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of the user's own columns by name, one for each row."""
    signs: tuple[str, ...] = ()
    """Signs of each row that cast doubt on its decoding, comma-separated; empty where no row has any."""
    held_out: int = 0
    """Rows of the range that the source's hold-out leaves to the other part."""
    split: str = ""
    """Split of all rows, where a shard says so; partners of mixing are of the same."""
    logits: NDArray[np.float32] | None = None
    """Logits (N, classes) of the model under attack, as its judge gives them; None where nobody has asked yet."""

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, places: NDArray[np.int64]) -> CleanRows:
        """The rows at these places, in their order."""
        return CleanRows(
            pixels=self.pixels[places],
            labels=self.labels[places],
            keys=tuple(self.keys[at] for at in places),
            indices=self.indices[places],
            sha256=tuple(self.sha256[at] for at in places) if self.sha256 else (),
            row_ids=tuple(self.row_ids[at] for at in places) if self.row_ids else (),
            user={name: tuple(values[at] for at in places) for name, values in self.user.items()},
            signs=tuple(self.signs[at] for at in places) if self.signs else (),
            held_out=self.held_out,
            split=self.split,
            logits=None if self.logits is None else self.logits[places],
        )


@dataclass(frozen=True)
class Partners:
    """Pool of clean rows of one split that mixing draws partners from, fixed by the plan."""

    pixels: Pixels
    labels: NDArray[np.int64]
    keys: tuple[str, ...]
    sha256: tuple[str, ...]
    """Digest of each row's pixels."""

    def __len__(self) -> int:
        return len(self.keys)

    def place(self, number: int) -> int:
        """Place in the pool that a drawn number below 2^31 stands for, each as likely."""
        return number * len(self) >> 31


def no_rows(height: int, width: int, channels: int) -> CleanRows:
    """None, in the shape of those they may be joined to."""
    return CleanRows(np.zeros((0, height, width, channels), np.uint8), np.zeros(0, np.int64), (), np.zeros(0, np.int64))


def joined(parts: Sequence[CleanRows]) -> CleanRows:
    """The rows of one or more parts of one shape, one part after the other."""
    named = any(part.row_ids for part in parts)
    return CleanRows(
        pixels=np.concatenate([part.pixels for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        keys=tuple(key for part in parts for key in part.keys),
        indices=np.concatenate([part.indices for part in parts]),
        sha256=tuple(digest for part in parts for digest in part.sha256),
        row_ids=tuple(row for part in parts for row in part.row_ids or (None,) * len(part)) if named else (),
        user={name: tuple(v for p in parts if len(p) for v in p.user[name]) for name in _user_names(parts)},
        signs=tuple(s for p in parts for s in p.signs or ("",) * len(p)) if any(p.signs for p in parts) else (),
        held_out=sum(part.held_out for part in parts),
    )


def _user_names(parts: Sequence[CleanRows]) -> tuple[str, ...]:
    return next((tuple(part.user) for part in parts if len(part)), ())


@dataclass(frozen=True)
class MadeRows:
    """Rows that a recipe made, in the order (parent, variant), and the columns it alone can fill.

    `columns` are named as in `schemas.rows.contract`; those a recipe leaves out are null. Attack recipes give `eps`,
    `norm`, `steps`, `queries`, `found_by`, `flags`, `target_label`, `float_pred`, `float_margin`; augmentations
    give `params`.
    """

    pixels: Pixels
    parents: NDArray[np.int64]
    """Position of each row's clean row in the CleanRows that went in."""
    variants: NDArray[np.int32]
    columns: Mapping[str, ColumnValues] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    """Rows that could not be made."""

    def __len__(self) -> int:
        return len(self.parents)


class Recipe(Protocol):
    """How output rows are made. Knows nothing of storage or Ray: arrays in, arrays and columns out."""

    kind: str
    """Value of the `kind` column."""
    op: str
    """Value of the `op` column."""
    variants: int
    """Rows made from each clean row."""

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """Makes the rows. `seeds`: int64, rows x variants, the root of each made row's randomness."""
        ...
