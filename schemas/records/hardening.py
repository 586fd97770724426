"""What hardening leaves behind: a sealed record per round, and one of the whole."""

from __future__ import annotations

from typing import Any, Literal

from hardset.schemas.base import Spec

HARDENING_CONTRACT = "1"


class Score(Spec):
    """Rows that count, of those that were looked at."""

    rows: int
    of: int

    @property
    def value(self) -> float:
        """The share in [0, 1]; 0 of no rows."""
        return self.rows / self.of if self.of else 0.0


class Figures(Spec):
    """What a model is worth on rows it was not trained on."""

    clean: Score
    """Rows that it has right."""
    robust: Score
    """Rows that it has right before and after each attack: fresh attacks on this very model."""
    attacks: dict[str, Score]
    """The same for each attack alone, by its name."""
    gradients: int
    """What measuring cost."""

    def shares(self) -> dict[str, float]:
        """Figures by the names that gates know."""
        return {"clean": self.clean.value, "robust": self.robust.value}


class StoredWeights(Spec):
    """A weight file below the output."""

    path: str
    sha256: str
    """SHA-256 of the file; the column `model_sha256` of rows made against these weights."""


class Start(Spec):
    """What a loop starts from."""

    contract: str = HARDENING_CONTRACT
    loop_id: str
    weights: StoredWeights
    """A copy of the weights that the job names, or of those of its factory."""
    validation: Figures


class Round(Spec):
    """One round: rows made against the weights of the last, training on them, and what that was worth."""

    contract: str = HARDENING_CONTRACT
    loop_id: str
    number: int
    """From 1."""
    model_sha256: str
    """SHA-256 of the weights that the round started from; the column `model_sha256` of the rows it made."""
    run_id: str | None
    """The run that made its rows; None for methods that make none."""
    rows: dict[str, int]
    """Rows that were there to train on, by kind."""
    weights: StoredWeights
    """What training came to."""
    state: StoredWeights
    """Everything that the next round goes on from; the file is kept until the next round is recorded."""
    epochs: int
    """Epochs done, over all rounds."""
    loss: float
    """Mean over the rows of the last epoch."""
    training_accuracy: float
    """Share of the rows that the model had right as it was trained on them, last epoch."""
    validation: Figures
    shard: Score | None
    """Rows of its own shard that the model has right after training on them: says nothing of its robustness."""
    training_gradients: int
    """Attack gradients of the rows made and of attacks on batches."""
    rows_made: int
    seconds: float
    """Wall-clock time."""
    started: str
    finished: str
    """UTC, ISO 8601."""


class Hardening(Spec):
    """The whole: what was promoted, and why it ended."""

    contract: str = HARDENING_CONTRACT
    loop_id: str
    job: dict[str, Any]
    """The resolved job, without credentials."""
    ended_by: Literal["rounds", "gradients", "rows", "minutes"]
    """All rounds done, or which budget was spent."""
    rounds: int
    best: int
    """The round whose weights are most robust on validation rows; 0: the weights it started from."""
    last: int
    weights: StoredWeights
    """Weights of the best round."""
    start: StoredWeights
    """What it started from."""
    before: Figures
    """Figures of the weights that the loop started from."""
    after: Figures
    """Figures of the best round, on the same rows."""
    judged_on: str
    """Split of those rows: test where the source has one, else validation, which also chose the round."""
    gradients: int
    """All attack gradients, of training and of measuring."""
    warnings: tuple[str, ...] = ()
    environment: dict[str, str]
    finished: str
