"""Runs of equal neighbours, of which a model is asked about the first alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def runs_of(equal: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Position of the first item of each run, and for each of N items the number of its run, int64 (runs,) and (N,).

    `equal` (N,): whether an item is equal to the one before it; the first one's is not looked at.
    """
    begins = ~equal
    begins[:1] = True
    return np.flatnonzero(begins), np.cumsum(begins) - 1
