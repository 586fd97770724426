"""Shares of rows with confidence intervals."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import Share

CONFIDENCE = 0.95


def share(rows: int, of: int) -> Share:
    """Share of `rows` among `of`, with Wilson's score interval; the interval is 0 to 1 if `of` is 0.

    Wilson 1927: the simple interval that keeps its coverage near 0 and 1, where robust accuracies often lie (Brown, Cai
    and DasGupta 2001, doi:10.1214/ss/1009213286). Raises JobError if SciPy is not installed.
    """
    if not of:
        return Share(rows=0, of=0, low=0.0, high=1.0)
    interval = _stats().binomtest(rows, of).proportion_ci(CONFIDENCE, method="wilson")
    return Share(rows=rows, of=of, low=max(0.0, float(interval.low)), high=min(1.0, float(interval.high)))


def share_of(mask: NDArray[np.bool_]) -> Share:
    """Share of true values in a mask (N,)."""
    return share(int(mask.sum()), len(mask))


def _stats() -> Any:
    try:
        from scipy import stats  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing("scipy") from None
    return stats


def check_installed() -> None:
    """Raises JobError if a package of the extra is missing, before hours of work are spent."""
    for module, package in (("scipy", "scipy"), ("sklearn", "scikit-learn")):
        if find_spec(module) is None:
            raise missing(package)


def missing(package: str) -> JobError:
    """Error for a missing package of the extra."""
    return JobError(f"{package}, which figures are computed with, is not installed: pip install 'hardset[evaluate]'")
