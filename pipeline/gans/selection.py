"""Which of a training's checkpoints is kept: the best one, never simply the last.

The longer a GAN is trained the better it gets, until it gets worse: published runs end at twice to four times their
best Fréchet distance. The distance alone would let a generator win that has lost a part of each class, so its recall
must be near the best.
"""

from __future__ import annotations

from collections.abc import Sequence

from hardset.schemas.base import Spec

NEAR_BEST = 0.9
"""Share of the best recall that a checkpoint must have to be kept."""


class Measure(Spec):
    """Figures of a checkpoint on the selection rows."""

    step: int
    distance: float
    """Squared Fréchet distance."""
    recall: float


def best(measured: Sequence[Measure]) -> Measure:
    """The one of lowest distance among those whose recall is at least `NEAR_BEST` of the best.

    Of equal distances the one of higher recall; of equals the later.
    """
    least = NEAR_BEST * max(one.recall for one in measured)
    return min((one for one in measured if one.recall >= least), key=_order)


def candidates(measured: Sequence[Measure]) -> list[Measure]:
    """Those that may be the best, now or when later ones have raised the recall that is asked for.

    They are the ones that no other equals or beats in both figures; the later of equals.
    """
    return [
        one
        for one in measured
        if not any(
            other.distance <= one.distance and other.recall >= one.recall and _order(other) < _order(one)
            for other in measured
        )
    ]


def _order(one: Measure) -> tuple[float, float, int]:
    return one.distance, -one.recall, -one.step
