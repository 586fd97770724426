"""SIGTERM, SIGHUP and Ctrl-C ask a run to stop within its grace period; asked twice, it ends at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from hardset.jobs.terminal.console import Exit
from hardset.jobs.terminal.voice import Voice

if TYPE_CHECKING:
    from hardset.pipeline.cluster.deadlines import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_SECONDS = 30.0
"""What Kubernetes gives a pod unless its terminationGracePeriodSeconds says otherwise."""
CLOSING_SECONDS = 6.0
"""Kept of the grace period for what follows the last shard: ending Ray (1.3 s, Ray 2.60) and giving back the lease."""
LAST_SECONDS = 10.0
"""What an interrupted command gets to put away what it has; then its process ends as it is."""

GraceSeconds = Annotated[
    float,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="From SIGTERM to the end: shards in hand that take longer are dropped, and made by the next start.",
    ),
]


class Interruption:
    """Handler of signals that interrupts what goes on, and ends the process where that does not heed it.

    An exception may get lost, in a callback of a C library for one, or become another on its way; so whether it was
    asked is kept, and another signal, or time, ends the process with the same exit code.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether a signal came."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt, once."""
        if self.asked:
            os._exit(Exit.STOPPED)
        self.asked = True
        last = Timer(LAST_SECONDS, lambda: os._exit(Exit.STOPPED))
        last.daemon = True
        last.start()
        raise KeyboardInterrupt

    def listen(self) -> None:
        """Handles all signals that ask a process to end, from here on. One that `nohup` has shut out stays out."""
        for number in _heeded():
            signal.signal(number, self)


@contextmanager
def stop_on_signal(
    voice: Voice, grace_seconds: float = GRACE_SECONDS, *, left: str = "finishing the shards in hand"
) -> Iterator[Stop]:
    """A stop that the first signal asks for; `left`: what is told to be done yet. Handlers are put back afterwards.

    Where something other than a shard takes too long, such as the listing of a source, the block is interrupted a
    little before the grace period is over. Raises KeyboardInterrupt then, and at the second signal, or does what the
    handlers before did.
    """
    from hardset.pipeline.cluster.deadlines import Stop  # noqa: PLC0415 - help need not load the records of shards

    stop, closing = Stop(), min(CLOSING_SECONDS, grace_seconds / 4)
    last = Timer(grace_seconds - closing / 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    last.daemon = True

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            own = before.get(signal.Signals(number))
            if isinstance(own, Interruption):
                own(number, frame)
            raise KeyboardInterrupt
        stop.ask(grace_seconds - closing)
        last.start()
        name, seconds = signal.Signals(number).name, f"{grace_seconds - closing:.0f} s"
        text = f"{name}: {left}, for {seconds} at most; once more ends at once"
        with suppress(RuntimeError):  # the signal came in the middle of a write to the same stream
            voice.note(text, "stopping", signal=name, seconds=grace_seconds - closing)

    before = {number: signal.signal(number, handle) for number in _heeded()}
    try:
        yield stop
    finally:
        last.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    """Signals that end a command; SIGHUP is not among them where whoever started it has it ignored."""
    return [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
