"""Hardening of a model in rounds: the `harden` section of a job file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.recipes import Attack


class HeldOutShare(Spec):
    """Training rows held out for validation, by a hash of their keys."""

    fraction: Annotated[float, Field(gt=0, lt=1)]
    """Share of the train split's rows to hold out; they are neither attacked for training nor trained on."""


class HardeningBudget(Spec):
    """Budget of all rounds together; a round that would exceed it is not started. Unset: no limit."""

    gradients: Annotated[int, Field(ge=1, le=10**18)] | None = None
    """Maximum number of attack gradients, including those of measuring."""
    rows: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Maximum number of rows made."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Maximum wall-clock minutes of work; time between an interruption and the next start does not count."""


class Harden(Spec):
    """Rounds of generate, train and measure; the most robust weights on the validation rows are kept."""

    rounds: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Number of rounds; the command warns below 4, since one round hardens nothing."""
    validation: str | HeldOutShare = "validation"
    """Split that selects the round. If the source has no validation split, {fraction: 0.1} holds out a tenth of the
    train split. Never the test split."""
    attacks: tuple[Attack, ...] = ()
    """Attacks that measure robust accuracy, run again on the weights of each round; a row counts if it withstands all.
    Unset: 20 steps of pgd with norm and eps of the first attack recipe."""
    budget: HardeningBudget = HardeningBudget()
    """Budget of the rounds."""
    weights: str | None = None
    """File for the hardened weights, .safetensors, written at the end; any fsspec URL. Unset:
    models/<job name>.safetensors in the output."""

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
