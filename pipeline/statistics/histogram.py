"""Incremental histograms: the range need not be known, and the bins do not depend on the order of the values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 32
_FINEST = -20


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of width 2**exponent that start at integer multiples of it, at most `MOST_BINS` apart.

    The exponent is the smallest one, not below `finest`, at which all values fit; so it depends on the values but not
    on their order.
    """

    finest: int = _FINEST
    """Smallest allowed exponent; 0 for integers."""
    exponent: int = _FINEST
    bins: dict[int, int] = field(default_factory=dict)
    """Number of values by bin number (the bin's start divided by the width)."""

    @staticmethod
    def of_whole_numbers() -> Histogram:
        """An empty histogram with bins of width 1 or more."""
        return Histogram(finest=0, exponent=0)

    def __len__(self) -> int:
        return sum(self.bins.values())

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self.exponent)

    def add(self, values: NDArray[np.floating] | NDArray[np.integer]) -> Histogram:
        """A histogram with these values added; values that are not finite are ignored."""
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return self
        exponent = _fitting(self.exponent, values.min(), values.max())
        found, counts = np.unique(np.floor(np.ldexp(values, -exponent)).astype(np.int64), return_counts=True)
        new = Histogram(self.finest, exponent, dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return self.merged(new)

    def merged(self, other: Histogram) -> Histogram:
        """The sum of both histograms."""
        exponent = max(self.exponent, other.exponent)
        bins = dict(self.coarsened(exponent).bins)
        for number, count in other.coarsened(exponent).bins.items():
            bins[number] = bins.get(number, 0) + count
        both = Histogram(self.finest, exponent, bins)
        while both.bins and max(both.bins) - min(both.bins) >= MOST_BINS:
            both = both.coarsened(both.exponent + 1)
        return both

    def coarsened(self, exponent: int) -> Histogram:
        """The same values in bins of width 2**exponent, or of the current width if that is larger."""
        shift = max(0, exponent - self.exponent)
        bins: dict[int, int] = {}
        for number, count in self.bins.items():
            bins[number >> shift] = bins.get(number >> shift, 0) + count
        return Histogram(self.finest, self.exponent + shift, bins)

    @property
    def exact(self) -> bool:
        """Whether every bin holds exactly one integer."""
        return self.finest == 0 and self.exponent == 0

    def quantile(self, share: float) -> float:
        """Value below which `share` of the values lie, interpolated inside wider bins. NaN if there are no values."""
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
