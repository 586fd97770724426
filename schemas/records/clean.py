"""How often the model is right on clean rows, and what explains it where that is seldom."""

from __future__ import annotations

from hardset.schemas.base import Spec
from hardset.schemas.intervals import wilson


class CleanAccuracy(Spec):
    """Share of clean rows, from all over the source, that the model classifies correctly."""

    right: int
    """Number of rows that the model classifies correctly."""
    judged: int
    """Number of rows that it was asked about."""
    low: float
    """Lower end of the 95 % confidence interval of the share (Wilson), in [0, 1]."""
    high: float
    """Upper end of the interval, in [0, 1]."""
    findings: tuple[str, ...] = ()
    """What is wrong with a low share, one sentence each, with the key to set; empty where nothing is suspected."""

    @classmethod
    def of(cls, right: int, judged: int, findings: tuple[str, ...] = ()) -> CleanAccuracy:
        """The share of `right` among `judged` rows, of which there is one at least, with its interval."""
        low, high = wilson(right, judged)
        return cls(right=right, judged=judged, low=low, high=high, findings=findings)

    @property
    def share(self) -> float:
        """Share of correct rows, in [0, 1]."""
        return self.right / self.judged

    def __str__(self) -> str:
        """Such as "97.3 % (95.6 to 98.4)"."""
        return f"{100 * self.share:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"
