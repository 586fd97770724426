"""SIGTERM and Ctrl-C ask a run to stop at the next shard; asked twice, it ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from jobs.console import errors


@contextmanager
def stop_on_signal() -> Iterator[Event]:
    """An event that is set at the first signal. Handlers are put back afterwards."""
    stop = Event()

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        errors.print(f"{signal.Signals(number).name}: finishing the shards in hand; once more ends at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
