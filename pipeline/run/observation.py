"""Logs and metrics see every shard of a run as it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.events import RunEvents
from pipeline.metrics import RunMetrics
from schemas.records import Failure, Plan, Receipt


def observed(results: Iterable[Receipt | Failure], plan: Plan, missing: int) -> Iterator[Receipt | Failure]:
    """`results` as they come, each told to logs and metrics first. `missing`: shards that this start is to make."""
    events, metrics = RunEvents(plan), RunMetrics(plan)
    events.started(missing)
    done, left = len(plan.shards) - missing, missing
    metrics.queues(done=done, waiting=left)
    try:
        for result in results:
            events.ended(result)
            metrics.ended(result)
            done, left = done + isinstance(result, Receipt), left - 1
            metrics.queues(done=done, waiting=left)
            yield result
    finally:
        events.finished(left)
