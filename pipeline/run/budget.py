"""Budget of a start of a run: rows and minutes after which it stops cleanly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Literal

from hardset.pipeline.cluster.deadlines import Stop
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Failure, Receipt, Shard

Reason = Literal["signal", "max_rows", "max_minutes"]


@dataclass(frozen=True)
class Budget:
    """Budget of a start; None: all it takes."""

    max_rows: int | None = None
    """Number of rows to make, those that end in quarantine among them."""
    max_minutes: float | None = None
    """Minutes from the start, planning among them."""


NO_BUDGET = Budget()


@dataclass(frozen=True)
class Left:
    """Work that a stopped start leaves to the next one."""

    shards: int
    rows: int
    """Number of rows that should come out of them."""
    minutes: float | None
    """Minutes at the pace of this start; None where it made nothing."""


class Limit(Stop):
    """Says when a start is to stop: when it was asked to, or when another shard would overrun its budget.

    The last shards begin while they can be expected to end in time, and are dropped where they do not. The first ones
    are finished all the same, or a budget that is too small for a shard would never get anywhere.
    """

    def __init__(self, budget: Budget, stop: Event) -> None:
        super().__init__()
        self._budget, self._stop = budget, stop
        self._started = time.monotonic()
        self._shards, self._seconds = 0, 0.0

    def admitted(self, shards: Sequence[Shard], rows: Callable[[Shard], int]) -> list[Shard]:
        """The first of `shards` whose rows the budget covers. Raises JobError where it covers not even one.

        `rows`: how many rows should come out of a shard.
        """
        most = self._budget.max_rows
        if most is None:
            return list(shards)
        total, admitted = 0, list[Shard]()
        for shard in shards:
            total += rows(shard)
            if total > most:
                break
            admitted.append(shard)
        if shards and not admitted:
            raise JobError(
                f"--max-rows: got {most}, and the next shard makes {rows(shards[0])} rows; wants at least as many, or "
                "a smaller output.shard_rows"
            )
        return admitted

    def note(self, result: Receipt | Failure) -> None:
        """Learns from a shard how long the next one may take."""
        if isinstance(result, Receipt):
            taken = datetime.fromisoformat(result.finished) - datetime.fromisoformat(result.started)
            self._shards, self._seconds = self._shards + 1, self._seconds + taken.total_seconds()

    def is_set(self) -> bool:
        """Whether no further shard may begin."""
        return self._stop.is_set() or self._time_is_up(self._seconds / self._shards if self._shards else 0.0)

    def expired(self) -> bool:
        """Whether the shards in hand are to be dropped."""
        asked = isinstance(self._stop, Stop) and self._stop.expired()
        return asked or (self._shards > 0 and self._time_is_up(0.0))

    @property
    def reason(self) -> Reason:
        """Reason why the start has stopped."""
        if self._stop.is_set():
            return "signal"
        return "max_minutes" if self.is_set() else "max_rows"

    def _time_is_up(self, ahead: float) -> bool:
        """Whether the minutes are spent `ahead` seconds from now."""
        if self._budget.max_minutes is None:
            return False
        return time.monotonic() - self._started + ahead >= 60 * self._budget.max_minutes
