"""What a command is at while it has nothing to show: told where it takes long, and then once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hardset.jobs.terminal.voice import Voice

FIRST_SECONDS = 10.0
"""How long a phase may last without a word."""
EVERY_SECONDS = 60.0
"""From one line about a phase to the next."""


class Phases:
    """The phase that a command is in. A thread of its own tells of it, since the one that works does not come back."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._changed = threading.Condition()
        self._now: tuple[str, float] | None = None
        self._over = False
        self._thread = threading.Thread(target=self._tell, name="phases", daemon=True)

    def __call__(self, text: str) -> None:
        """Begins a phase, such as "reading the source"."""
        self._set((text, time.monotonic()))

    def silent(self) -> None:
        """Ends the phase: what follows speaks for itself."""
        self._set(None)

    def _set(self, phase: tuple[str, float] | None) -> None:
        with self._changed:
            self._now = phase
            self._changed.notify()

    def _tell(self) -> None:
        with self._changed:
            while not self._over:
                phase, wait = self._now, FIRST_SECONDS
                while phase is not None and phase is self._now and not self._over:
                    if not self._changed.wait(wait):
                        seconds = time.monotonic() - phase[1]
                        self._voice.say(f"{phase[0]}: {seconds:,.0f} s so far", event="phase", phase=phase[0])
                        wait = EVERY_SECONDS
                if phase is None:
                    self._changed.wait()

    def start(self) -> None:
        """Starts to listen."""
        self._thread.start()

    def end(self) -> None:
        """Tells nothing any more."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()


@contextmanager
def phases(voice: Voice) -> Iterator[Phases]:
    """Phases of a command while the block runs."""
    found = Phases(voice)
    found.start()
    try:
        yield found
    finally:
        found.end()
