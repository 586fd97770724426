"""Observation of a run: logs and metrics see every shard as it ends, and queues and actors in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from hardset.pipeline.cluster.messages import Tally
from hardset.pipeline.run.events import RunEvents
from hardset.pipeline.run.metrics import RunMetrics
from hardset.schemas.records.run import Failure, Plan, Receipt

LOOK_SECONDS = 5.0
"""Seconds between two looks at queues and actors; Ray's agent takes new figures every 10 s (Ray 2.60)."""


def observed(
    results: Iterable[Receipt | Failure], plan: Plan, missing: int, tally: Callable[[], Tally], *, done: int = 0
) -> Iterator[Receipt | Failure]:
    """`results` as they come, each told to logs and metrics first.

    `missing`: shards that this start is to make; `done`: those that were there before; `tally`: how things stand, asked
    from another thread.
    """
    events, metrics = RunEvents(plan), RunMetrics(plan, done=done)
    events.started(missing)
    with _looking(lambda: metrics.stand(tally())):
        try:
            for result in results:
                missing -= 1
                events.ended(result)
                metrics.ended(result)
                yield result
        finally:
            events.finished(missing)


@contextmanager
def _looking(look: Callable[[], None]) -> Iterator[None]:
    """Looks now, every `LOOK_SECONDS` while the block runs, and once more at its end."""
    over = Event()

    def run() -> None:
        while True:
            look()
            if over.wait(LOOK_SECONDS):
                return

    thread = Thread(target=run, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_SECONDS)
        look()
