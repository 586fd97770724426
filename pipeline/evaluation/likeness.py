"""Similarity of an attack's perturbations: mean cosine similarities, computed without holding all rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.judging.judge import Classes
from hardset.schemas.records.evaluation import Likeness

_MOST_SUMS = 2**26
"""Maximum number of values in the sums by class, 512 MiB; beyond it only the overall figure is computed."""


class Similarity:
    """Mean cosine similarity of perturbations, added in batches.

    The mean over pairs of n unit vectors with sum s is (|s|^2 - n) / (n (n - 1)), so only the sum is kept.
    """

    def __init__(self, classes: int, values: int) -> None:
        """`values`: number of values in one image."""
        self._overall = np.zeros(values)
        self._by_class = np.zeros((classes, values)) if classes * values <= _MOST_SUMS else None
        self._rows = np.zeros(classes, np.int64)

    def add(self, clean: Pixels, made: Pixels, labels: Classes) -> None:
        """Adds rows, uint8 (N, H, W, C); unchanged rows are skipped."""
        change = made.astype(np.float64).reshape(len(made), -1) - clean.reshape(len(clean), -1)
        length = np.linalg.norm(change, axis=1)
        moved = length > 0
        unit = change[moved] / length[moved, None]
        self._overall += unit.sum(axis=0)
        np.add.at(self._rows, labels[moved], 1)
        if self._by_class is not None:
            for label in np.unique(labels[moved]):
                self._by_class[label] += unit[labels[moved] == label].sum(axis=0)

    def figures(self, attack: str) -> Likeness:
        """Entry of the evaluation's record."""
        total = int(self._rows.sum())
        within = None
        pairs = self._rows >= 2
        if self._by_class is not None and pairs.any():
            means = [_mean(total_, int(n)) for total_, n in zip(self._by_class[pairs], self._rows[pairs], strict=True)]
            within = float(np.average(means, weights=self._rows[pairs]))
        overall = _mean(self._overall, total) if total >= 2 else None
        return Likeness(attack=attack, within_class=within, overall=overall, rows=total)


def _mean(total: NDArray[np.float64], rows: int) -> float:
    return float((total @ total - rows) / (rows * (rows - 1)))
