"""Natural changes, not chosen by an adversary: common corruptions, and shifts by a few pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.augment.applying import threads_as_torch
from hardset.pipeline.augment.corruptions import CHANGES, corrupt
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.batches import Pixels

SHIFT = "shift"
_POSITIONS = {name: position for position, name in enumerate(CHANGES)}
"""Random stream of each corruption, the same for every severity, so that severities are comparable."""


def corrupted(pixels: Pixels, seeds: NDArray[np.int64], name: str, severity: int, strengths: str = "auto") -> Pixels:
    """Rows under a corruption of severity 1 to 5, as recipes make them. uint8 (N, H, W, C); `seeds`: int64 (N,).

    `strengths`: cifar, imagenet, or auto, which goes by the size of the rows.
    """
    threads_as_torch()
    rows = [
        corrupt(row, name, severity, strengths, RowStream(int(seed), _POSITIONS[name]))
        for row, seed in zip(pixels, seeds, strict=True)
    ]
    return np.stack(rows) if rows else pixels.copy()


def shifted(pixels: Pixels, most: int) -> Iterator[Pixels]:
    """Yields the rows under each shift of up to `most` pixels per axis, except the zero shift, padded with black."""
    height, width = pixels.shape[1:3]
    padded = np.pad(pixels, ((0, 0), (most, most), (most, most), (0, 0)))
    for down in range(2 * most + 1):
        for right in range(2 * most + 1):
            if (down, right) != (most, most):
                yield padded[:, down : down + height, right : right + width]
