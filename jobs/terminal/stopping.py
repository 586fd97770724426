"""SIGTERM and Ctrl-C ask a run to stop within its grace period; asked twice, it ends at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from hardset.jobs.terminal.voice import Voice

if TYPE_CHECKING:
    from hardset.pipeline.cluster.deadlines import Stop

GRACE_SECONDS = 30.0
"""What Kubernetes gives a pod unless its terminationGracePeriodSeconds says otherwise."""
CLOSING_SECONDS = 6.0
"""Kept of the grace period for what follows the last shard: ending Ray (1.3 s, Ray 2.60) and giving back the lease."""

GraceSeconds = Annotated[
    float,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="From SIGTERM to the end: shards in hand that take longer are dropped, and made by the next start.",
    ),
]


@contextmanager
def stop_on_signal(voice: Voice, grace_seconds: float = GRACE_SECONDS) -> Iterator[Stop]:
    """A stop that the first signal asks for. Handlers are put back afterwards.

    Where something other than a shard takes too long, such as the listing of a source, the block is interrupted a
    little before the grace period is over. Raises KeyboardInterrupt then, and at the second signal.
    """
    from hardset.pipeline.cluster.deadlines import Stop  # noqa: PLC0415 - help need not load the records of shards

    stop, closing = Stop(), min(CLOSING_SECONDS, grace_seconds / 4)
    last = Timer(grace_seconds - closing / 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    last.daemon = True

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.ask(grace_seconds - closing)
        last.start()
        name, seconds = signal.Signals(number).name, f"{grace_seconds - closing:.0f} s"
        text = f"{name}: finishing the shards in hand, for {seconds} at most; once more ends at once"
        with suppress(RuntimeError):  # the signal came in the middle of a write to the same stream
            voice.note(text, "stopping", signal=name, seconds=grace_seconds - closing)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        last.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
