"""Histograms that grow: the range need not be known, and any order of the values gives the same bins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 32
_FINEST = -20


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of width 2**exponent that start at whole multiples of it, at most `MOST_BINS` apart.

    The exponent is the smallest one, not under `finest`, at which the values seen fit; so it depends on the values
    and not on their order.
    """

    finest: int = _FINEST
    """Smallest exponent: 0 for whole numbers."""
    exponent: int = _FINEST
    bins: dict[int, int] = field(default_factory=dict)
    """Number of the bin (its start divided by the width) to the values in it."""

    @staticmethod
    def of_whole_numbers() -> Histogram:
        """An empty histogram whose bins are at least 1 wide."""
        return Histogram(finest=0, exponent=0)

    def __len__(self) -> int:
        return sum(self.bins.values())

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self.exponent)

    def add(self, values: NDArray[np.floating] | NDArray[np.integer]) -> Histogram:
        """With further values. Those that are not finite are left out."""
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return self
        exponent = _fitting(self.exponent, values.min(), values.max())
        found, counts = np.unique(np.floor(np.ldexp(values, -exponent)).astype(np.int64), return_counts=True)
        new = Histogram(self.finest, exponent, dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return self.merged(new)

    def merged(self, other: Histogram) -> Histogram:
        """Both together."""
        exponent = max(self.exponent, other.exponent)
        bins = dict(self.coarsened(exponent).bins)
        for number, count in other.coarsened(exponent).bins.items():
            bins[number] = bins.get(number, 0) + count
        both = Histogram(self.finest, exponent, bins)
        while both.bins and max(both.bins) - min(both.bins) >= MOST_BINS:
            both = both.coarsened(both.exponent + 1)
        return both

    def coarsened(self, exponent: int) -> Histogram:
        """The same values in bins of width 2**exponent, not finer than they are."""
        shift = max(0, exponent - self.exponent)
        bins: dict[int, int] = {}
        for number, count in self.bins.items():
            bins[number >> shift] = bins.get(number >> shift, 0) + count
        return Histogram(self.finest, self.exponent + shift, bins)

    @property
    def exact(self) -> bool:
        """Whether every bin holds one whole number."""
        return self.finest == 0 and self.exponent == 0

    def quantile(self, share: float) -> float:
        """Where `share` of the values lie below, interpolated inside wider bins. NaN where there are none."""
        wanted, below = share * len(self), 0
        for number in sorted(self.bins):
            count = self.bins[number]
            if below + count >= wanted:
                if self.exact:
                    return float(number)
                return (number + (wanted - below) / count) * self.width
            below += count
        return math.nan


def _fitting(exponent: int, low: float, high: float) -> int:
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= MOST_BINS:
        exponent += 1
    return exponent
