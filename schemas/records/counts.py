"""Row counts by outcome, of a shard or of many."""

from __future__ import annotations

from pydantic import Field

from hardset.schemas.base import Record


class Counts(Record):
    """Row counts by outcome; the counts of several shards are added with `+`."""

    rows_in: int = 0
    """Number of source rows, or samples, that went in."""
    expected: int = 0
    """Number of rows that should come out: rows_in times variants."""
    rows_out: int = 0
    """Number of rows stored."""
    quarantined: int = 0
    """Number of rows that could not be made; expected = rows_out + quarantined + dropped + held_out."""
    dropped: int = 0
    """Number of resisting rows omitted because the job keeps successes only."""
    held_out: int = 0
    """Number of rows not made because source.hold_out assigns their parents to the other part."""
    attacked: int = 0
    """Number of adversarial rows over which success is counted: classified correctly before the attack, or, for
    targeted attacks, with a target other than their label."""
    success: int = 0
    """Number of attacked rows whose stored image fools the model."""
    signals: dict[str, int] = Field(default_factory=dict)
    """Number of attacked rows by signal: `flag:<name>`, `found_by:<attack>` (successes only), `several_steps` (rows
    that took more than one step), `several_steps:no_rise`, and per held-out model `transfer_counted:<name>` and
    `transfer_fooled:<name>`; and number of source rows by `read:<sign>`, such as `read:near_black`. Zeros are
    omitted."""

    @property
    def success_rate(self) -> float | None:
        """Share of attacked rows that fool the model; None if no row was attacked."""
        return self.success / self.attacked if self.attacked else None

    def __add__(self, other: Counts) -> Counts:
        numbers = {k: getattr(self, k) + getattr(other, k) for k in Counts.model_fields if k != "signals"}
        names = sorted({*self.signals, *other.signals})
        return Counts(**numbers, signals={k: self.signals.get(k, 0) + other.signals.get(k, 0) for k in names})
