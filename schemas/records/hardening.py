"""Records of hardening: one sealed record per round, and one of the whole loop."""

from __future__ import annotations

from typing import Any, Literal

from hardset.schemas.base import Spec

HARDENING_CONTRACT = "1"


class Score(Spec):
    """Number of rows that count, and of all rows examined."""

    rows: int
    of: int

    @property
    def value(self) -> float:
        """Share in [0, 1]; 0 if there are no rows."""
        return self.rows / self.of if self.of else 0.0


class Figures(Spec):
    """Figures of a model on rows that it was not trained on."""

    clean: Score
    """Rows classified correctly."""
    robust: Score
    """Rows classified correctly before and after each attack: fresh attacks on this model."""
    attacks: dict[str, Score]
    """The same for each attack alone, by attack name."""
    gradients: int
    """Number of attack gradients spent on measuring."""

    def shares(self) -> dict[str, float]:
        """Figures by the names that gates use."""
        return {"clean": self.clean.value, "robust": self.robust.value}


class StoredWeights(Spec):
    """A weight file below the output."""

    path: str
    sha256: str
    """SHA-256 of the file; the column `model_sha256` of rows made against these weights."""


class LoopStart(Spec):
    """Start of a loop."""

    contract: str = HARDENING_CONTRACT
    loop_id: str
    weights: StoredWeights
    """Copy of the job's weights, or of the factory's."""
    validation: Figures


class Round(Spec):
    """One round: rows made against the previous weights, training on them, and the resulting figures."""

    contract: str = HARDENING_CONTRACT
    loop_id: str
    number: int
    """Number of the round, from 1."""
    model_sha256: str
    """SHA-256 of the weights that the round started from; the column `model_sha256` of the rows it made."""
    run_id: str | None
    """Id of the run that made the rows; None for methods that make none."""
    rows: dict[str, int]
    """Number of available training rows, by kind."""
    weights: StoredWeights
    """Weights after training."""
    state: StoredWeights
    """State from which the next round continues; the file is kept until the next round is recorded."""
    epochs: int
    """Number of epochs done, over all rounds."""
    loss: float
    """Mean loss over the rows of the last epoch."""
    training_accuracy: float
    """Training accuracy in the last epoch, in [0, 1]."""
    validation: Figures
    shard: Score | None
    """Rows of its own shard that the model classifies correctly after training on them; this is not robustness."""
    training_gradients: int
    """Number of attack gradients, of the rows made and of attacks on batches."""
    rows_made: int
    seconds: float
    """Wall-clock time in seconds."""
    started: str
    finished: str
    """UTC, ISO 8601."""


class Hardening(Spec):
    """Record of a finished loop: what was promoted, and why it ended."""

    contract: str = HARDENING_CONTRACT
    loop_id: str
    job: dict[str, Any]
    """The resolved job, without credentials."""
    ended_by: Literal["rounds", "gradients", "rows", "minutes"]
    """Why the loop ended: all rounds done, or which budget was spent."""
    rounds: int
    best: int
    """Number of the most robust round on the validation rows; 0: the initial weights."""
    last: int
    weights: StoredWeights
    """Weights of the best round."""
    start: StoredWeights
    """Initial weights."""
    before: Figures
    """Figures of the weights that the loop started from."""
    after: Figures
    """Figures of the best round, on the same rows."""
    judged_on: str
    """Split of these rows: test if the source has one, else validation, which also selected the round."""
    commit: str = ""
    """Version of the source that was read: a commit of the Hugging Face Hub, or a version of a table; or empty."""
    gradients: int
    """Number of all attack gradients, of training and of measuring."""
    warnings: tuple[str, ...] = ()
    environment: dict[str, str]
    finished: str
