"""Shares of rows with confidence intervals."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from hardset.schemas.errors import JobError
from hardset.schemas.intervals import wilson
from hardset.schemas.records.evaluation import Share


def share(rows: int, of: int) -> Share:
    """Share of `rows` among `of`, with Wilson's score interval; the interval is 0 to 1 if `of` is 0."""
    low, high = wilson(rows, of)
    return Share(rows=rows, of=of, low=low, high=high)


def share_of(mask: NDArray[np.bool_]) -> Share:
    """Share of true values in a mask (N,)."""
    return share(int(mask.sum()), len(mask))


def check_installed() -> None:
    """Raises JobError if a package of the extra is missing, before hours of work are spent."""
    if find_spec("sklearn") is None:
        raise missing("scikit-learn")


def missing(package: str) -> JobError:
    """Error for a missing package of the extra."""
    return JobError(f"{package}, which figures are computed with, is not installed: pip install 'hardset[evaluate]'")
