"""Tallies of attacked rows: by budget, by part of a range of budgets, and by prediction before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hardset.schemas.rows.success import attacked_rows

Confusion = Mapping[tuple[int, int], int]
"""Number of attacked rows by (prediction on the clean pixels, prediction on the stored image)."""
Tally = tuple[int, int]
"""Numbers of (attacked rows, successes)."""
_PARTS = 8
"""Number of parts that a range is cut into; edges at whole places may make it one more."""


def confused(before: Confusion, rows: pa.RecordBatch) -> dict[tuple[int, int], int]:
    """`before` with these rows added; rows that do not count as attacked are left out."""
    counted = pc.and_(attacked_rows(rows), pc.and_(pc.is_valid(rows["clean_pred"]), pc.is_valid(rows["pred"])))
    mine = rows.filter(pc.fill_null(counted, False))
    pairs = np.stack([mine.column(name).to_numpy() for name in ("clean_pred", "pred")], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    found = dict(before)
    for (clean, stored), number in zip(kinds.tolist(), counts.tolist(), strict=True):
        found[clean, stored] = found.get((clean, stored), 0) + number
    return found


def by_budget(before: tuple[Tally, ...], rows: pa.RecordBatch, budgets: int) -> tuple[Tally, ...]:
    """Tallies of an attack that makes one row (variant) for each of `budgets` budgets, with these rows added."""
    place = np.clip(rows.column("variant").fill_null(budgets).to_numpy(), 0, budgets)
    return _added(before or ((0, 0),) * budgets, rows, place)


def parts_of(eps: Any, norm: str) -> tuple[float, ...]:
    """Edges of at most 9 equal parts of a range of budgets, on the [0, 1] pixel scale; empty for other budgets.

    Edges are whole 8-bit levels for Linf, else multiples of 1, 2 or 5 times a power of ten.
    """
    if not isinstance(eps, Mapping):
        return ()
    unit = 255.0 if norm == "linf" else 1.0
    low, high = (float(Fraction(str(eps[end]))) * unit for end in ("min", "max"))
    if not high > low:
        return ()
    step = _step((high - low) / _PARTS, whole=norm == "linf")
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(at * step / unit for at in range(first, last + 1))


def by_part(before: tuple[Tally, ...], rows: pa.RecordBatch, edges: tuple[float, ...]) -> tuple[Tally, ...]:
    """Tallies by part of a range of budgets with these `edges`, with these rows added; the last part has its end."""
    parts = len(edges) - 1
    eps = rows.column("eps").fill_null(np.nan).to_numpy()
    place = np.clip(np.searchsorted(np.array(edges) - 1e-9, eps, side="right") - 1, 0, parts)
    place = np.where(eps <= edges[-1] + 1e-9, np.minimum(place, parts - 1), parts)
    return _added(before or ((0, 0),) * parts, rows, place)


def _added(before: tuple[Tally, ...], rows: pa.RecordBatch, place: NDArray[np.integer]) -> tuple[Tally, ...]:
    """The tallies with each row added at its place; a place past the last tally counts nowhere."""
    counted = attacked_rows(rows)
    masks = (counted, pc.and_(counted, rows.column("success").fill_null(False)))
    length = len(before) + 1
    found = [np.bincount(place[mask.to_numpy(zero_copy_only=False)], minlength=length) for mask in masks]
    return tuple((a + int(b), c + int(d)) for (a, c), b, d in zip(before, *found, strict=False))


def _step(least: float, *, whole: bool) -> float:
    """Smallest of 1, 2, 5 times a power of ten that is not below `least`; a whole number if `whole`."""
    if whole:
        return float(math.ceil(least - 1e-9))
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if least <= times * power * (1 + 1e-9))
