"""Confidence intervals of shares."""

from __future__ import annotations

import math

_Z = 1.959963984540054
"""Quantile of the normal distribution for an interval of 95 %."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's score interval of 95 % of the share of `hits` in `of`, both ends in [0, 1]; 0 to 1 if `of` is 0.

    Wilson 1927: the simple interval that keeps its coverage near 0 and 1, where robust accuracies often lie (Brown, Cai
    and DasGupta 2001, doi:10.1214/ss/1009213286).
    """
    if not of:
        return 0.0, 1.0
    share, spread = hits / of, _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    # Rounding must not leave a share of 0 or 1 outside its interval.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
