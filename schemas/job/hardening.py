"""How a model is hardened round by round: the `harden` section of a job file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.recipes import Attack


class HeldOutShare(Spec):
    """Training rows set apart for validation, by a hash of their keys."""

    fraction: Annotated[float, Field(gt=0, lt=1)]
    """Share of the rows of the train split; they are neither attacked for training nor trained on."""


class HardeningBudget(Spec):
    """What all rounds together may cost; a round that would go beyond is not begun. Unset: no limit."""

    gradients: Annotated[int, Field(ge=1)] | None = None
    """Attack gradients, those of measuring included."""
    rows: Annotated[int, Field(ge=1)] | None = None
    """Rows made."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Wall-clock minutes of work; time between an interruption and the next start does not count."""


class Harden(Spec):
    """Rounds of generate, train and measure; the weights that are most robust on validation rows are kept."""

    rounds: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Rounds; below 4 the command warns, since one round hardens nothing."""
    validation: str | HeldOutShare = "validation"
    """Split that chooses the round, or {fraction: 0.1}: a tenth of the train split held out, where the source has no
    validation split. Never the test split."""
    attacks: tuple[Attack, ...] = ()
    """What robust accuracy is measured with, afresh on the weights of each round; a row counts if it withstands all.
    Unset: 20 steps of pgd in norm and eps of the first attack recipe."""
    budget: HardeningBudget = HardeningBudget()
    """What the rounds may cost."""
    weights: str | None = None
    """Where the hardened weights are written at the end, as .safetensors; any fsspec URL. Unset: in the output, at
    models/<job name>.safetensors."""

    @model_validator(mode="after")
    def _sound(self) -> Harden:
        if self.validation in ("test", "train"):
            raise ValueError(
                f"validation: got {self.validation}; wants a split that is neither trained on nor kept for the last "
                "word, or {fraction: 0.1}"
            )
        if self.weights is not None and not self.weights.endswith(".safetensors"):
            raise ValueError(f"weights: got {self.weights}; wants a name that ends in .safetensors")
        return self
