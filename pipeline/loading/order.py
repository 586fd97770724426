"""Order of a pass over rows: a permutation that a seed fixes, and that reads stored rows a few row groups at a time.

Rows in memory, and stored ones of a few hundred megabytes, are permuted as a whole. More would have to be read a row
here and a row there. So the row groups are permuted and dealt to tracks; on each track a window of some groups is open
at a time, and its rows are permuted. Batch k is drawn from the tracks of stride k mod STRIDES, its row j from lane
j mod LANES of them: workers that take turns in batches, and ranks that take turns in the rows of a batch, then read
row groups of their own, as long as their number divides these. The order itself knows neither workers nor ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
LANES, STRIDES = 8, 8
"""Most ranks, and most workers of each, that read no row group twice."""
_GROUPS_OF_A_TRACK = 4
"""Fewest row groups of a track; tracks of fewer differ too much in length."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Row groups that rows are stored in, in their order."""

    rows: Indices
    """Number of rows of each."""
    bytes: Indices
    """Bytes in memory of each."""

    @cached_property
    def starts(self) -> Indices:
        """Number of each group's first row; one more at the end, which is the number of all rows."""
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(self.rows)))


def pass_order(
    groups: Groups, generator: np.random.Generator, *, slice_rows: int, lead: int, window_bytes: int
) -> Indices:
    """All rows once, int64 (N,).

    `slice_rows`: rows of a batch, `lead`: those of the first batch that an earlier pass left to this one.
    `window_bytes`: bytes of the windows of all tracks together; whatever fits is permuted as a whole.
    """
    count = int(groups.starts[-1])
    if int(groups.bytes.sum()) <= window_bytes:
        return generator.permutation(count)
    strides, lanes = _tracks(len(groups.rows), slice_rows)
    order = generator.permutation(len(groups.rows))
    depth = max(1, int(window_bytes / (strides * lanes * max(1.0, float(groups.bytes.mean())))))
    streams = [_windows(groups, order[track :: strides * lanes], depth, generator) for track in range(strides * lanes)]
    each = slice_rows // lanes  # rows that a batch takes from a track
    batches = min(map(len, streams)) // each
    while batches and count - batches * each * len(streams) < lead:
        batches -= 1
    taken = np.stack([stream[: batches * each].reshape(batches, each) for stream in streams])
    sliced = taken.reshape(strides, lanes, batches, each).transpose(2, 0, 3, 1).reshape(-1)
    rest = np.concatenate([stream[batches * each :] for stream in streams])
    return np.concatenate((rest[:lead], sliced, rest[lead:]))


def _tracks(groups: int, slice_rows: int) -> tuple[int, int]:
    """Strides and lanes, their powers of two, that so many groups fill."""
    strides, lanes = STRIDES, math.gcd(slice_rows, LANES)
    while strides * lanes * _GROUPS_OF_A_TRACK > groups and strides * lanes > 1:
        if strides > 1:
            strides //= 2
        else:
            lanes //= 2
    return strides, lanes


def _windows(groups: Groups, chosen: Indices, depth: int, generator: np.random.Generator) -> Indices:
    """The rows of the chosen groups, permuted among each `depth` of them."""
    found = []
    for at in range(0, len(chosen), depth):
        rows = [np.arange(groups.starts[group], groups.starts[group + 1]) for group in chosen[at : at + depth]]
        found.append(generator.permutation(np.concatenate(rows)))
    return np.concatenate(found) if found else np.zeros(0, np.int64)
