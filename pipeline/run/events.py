"""Events of a run, logged by Python's `logging` with fields a machine can read; nothing here handles a record.

Whoever wants to see the events adds a handler to the logger `pipeline`. The fields of an event are in the record's
attribute `fields`.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure, Plan, Receipt

log = logging.getLogger(__name__)


def tell(level: int, event: str, text: str, **fields: Any) -> None:
    """Logs an event: its name, a sentence for people, and fields for machines."""
    log.log(level, text, extra={"fields": {"event": event, **fields}})


class RunEvents:
    """The events of one start of a run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._begun = time.monotonic()
        self._made = Counts()

    def started(self, missing: int) -> None:
        """Logs that work begins on the shards that are missing."""
        plan = self._plan
        text = f"run {plan.run_id}: {missing} of {len(plan.shards)} shards to make"
        self._tell(logging.INFO, "run_started", text, shards=len(plan.shards), missing=missing)

    def ended(self, result: Receipt | Failure) -> None:
        """Logs that a shard was committed or given up."""
        shard = {"shard": result.index, "recipe": self._plan.shards[result.index].recipe}
        if isinstance(result, Failure):
            text = f"shard {result.index} failed after {result.attempts} attempts: {result.error}"
            self._tell(logging.ERROR, "shard_failed", text, **shard, attempts=result.attempts, error=result.error)
            return
        counts = result.counts
        seconds = (datetime.fromisoformat(result.finished) - datetime.fromisoformat(result.started)).total_seconds()
        self._made += counts
        rates = {
            "seconds": round(seconds, 3),
            "rows_per_s": round(counts.rows_out / max(seconds, 1e-3), 3),
            "run_rows_per_s": round(self._made.rows_out / max(time.monotonic() - self._begun, 1e-3), 3),
        }
        text = f"shard {result.index} committed: {counts.rows_out} rows in {seconds:.1f} s"
        attempt = {"attempt": result.attempt, "host": result.host}
        self._tell(logging.INFO, "shard_committed", text, **shard, **_numbers(counts), **rates, **attempt)

    def finished(self, left: int) -> None:
        """Logs the end of the run's shards: all have ended, or it was stopped or broke with `left` of them missing."""
        seconds, made = time.monotonic() - self._begun, self._made
        text = f"run {self._plan.run_id}: {made.rows_out} rows in {seconds:.1f} s, {left} shards left"
        self._tell(logging.INFO, "work_ended", text, **_numbers(made), shards_left=left, seconds=round(seconds, 3))

    def _tell(self, level: int, event: str, text: str, **fields: Any) -> None:
        tell(level, event, text, run_id=self._plan.run_id, job=self._plan.job["name"], **fields)


def _numbers(counts: Counts) -> dict[str, int]:
    names = {"rows": "rows_out", "quarantined": "quarantined", "attacked": "attacked", "success": "success"}
    return {name: getattr(counts, field) for name, field in names.items()}
