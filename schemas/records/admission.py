"""How good the rows of a generator are, by a model that is not of its making."""

from __future__ import annotations

from hardset.schemas.base import Spec


class Admission(Spec):
    """Figures of sampled rows against real rows, and the model's own on the real ones. Shares lie in [0, 1]."""

    recipe: int
    """Position of the recipe in the job."""
    rows: int
    """Number of rows that were sampled, after the recipe's filters."""
    real: int
    """Number of real rows that they were held against."""
    judge: float
    """Share of the real rows that the model classifies correctly."""
    agreement: float
    """Share of the sampled rows for which the model predicts the class asked for."""
    precision: float
    """Share of sampled rows inside the neighbourhood of a real row, in the model's features."""
    recall: float
    """Share of real rows inside the neighbourhood of a sampled row."""
    density: float
    """Number of real neighbourhoods around a sampled row, over that expected of real rows."""
    coverage: float
    """Share of real rows with a sampled row in their neighbourhood."""
    unreachable: tuple[str, ...] = ()
    """Names of classes, asked for often enough to tell, that the model finds in none of the rows sampled for them."""

    def __str__(self) -> str:
        """Such as "agreement 0.97, coverage 0.88, recall 0.93, judge 0.99"."""
        return ", ".join(f"{name} {getattr(self, name):.2f}" for name in ("agreement", "coverage", "recall", "judge"))
