"""Bisection of a shard for the row that it fails of."""

from __future__ import annotations

from dataclasses import dataclass, replace

CONFIRMATIONS = 2
"""Number of failures, made alone, after which a row counts as bad: one may be chance."""


@dataclass(frozen=True)
class Bisection:
    """The first bad row of a shard lies in [low, high); all rows before `low` are cleared.

    Each probe makes the first half of what is left. Where it fails, the row is in that half; where it passes, the half
    is cleared. A shard of n rows takes about log2(n) probes, which cost together no more than the shard itself.
    """

    low: int
    high: int
    failures: int = 0
    """Number of failures of the last remaining row, made alone."""

    @property
    def span(self) -> tuple[int, int]:
        """The rows to try next: start, and one past the last."""
        return self.low, self.low + max(1, (self.high - self.low) // 2)

    @property
    def found(self) -> int | None:
        """The bad row, once it is known."""
        return self.low if self.failures >= CONFIRMATIONS else None

    def failed(self) -> Bisection:
        """State after the probe of `span` failed."""
        if self.high - self.low == 1:
            return replace(self, failures=self.failures + 1)
        return replace(self, high=self.span[1])

    def passed(self) -> Bisection | None:
        """State after the probe of `span` passed; None: no row fails by itself."""
        if self.high - self.low == 1:
            return None
        return replace(self, low=self.span[1])
