"""A request to stop, with a deadline: first the shards in hand may be finished, then they are dropped."""

from __future__ import annotations

import time
from threading import Event


class Stop(Event):
    """Set once a run is to stop. What is in hand may be finished until `expired()`; it is dropped then.

    A dropped shard is not committed, so the next start makes it again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._deadline: float | None = None

    def ask(self, seconds: float) -> None:
        """Asks the run to stop, and gives the shards in hand `seconds`."""
        self._deadline = time.monotonic() + seconds
        self.set()

    def expired(self) -> bool:
        """Whether the time for the shards in hand is over; never for a stop that named none."""
        return self._deadline is not None and time.monotonic() >= self._deadline
