"""Finding the row that a shard fails of, by halves."""

from __future__ import annotations

from dataclasses import dataclass, replace

CONFIRMATIONS = 2
"""Times that a row has to fail by itself before it is held to be bad: once may be chance."""


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
        """What is known once the probe of `span` failed."""
        if self.high - self.low == 1:
            return replace(self, failures=self.failures + 1)
        return replace(self, high=self.span[1])

    def passed(self) -> Bisection | None:
        """What is known once the probe of `span` passed; None: no row fails by itself."""
        if self.high - self.low == 1:
            return None
        return replace(self, low=self.span[1])
