"""Deadlines: when a shard counts as stuck, and when a run that was asked to stop drops its shards in hand."""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Event

from hardset.pipeline.cluster.pending import PendingShard

FIRST_SECONDS = 4 * 3600.0
"""Deadline in seconds while no shard is done, so that nobody knows how long one takes."""
LEAST_SECONDS = 600.0
TIMES_MEDIAN, TIMES_SLOWEST = 10, 3
_REMEMBERED = 101
"""Number of last shards that the median is taken over."""
_LEAST_PROBE_SECONDS = 60.0
_MOST_DOUBLINGS = 6


@dataclass
class Deadlines:
    """Learns from the shards that are done. All times in seconds, from handing a shard out to hearing of it."""

    fixed: float | None = None
    """Deadline that the job sets; None: ten times the median so far, three times the slowest, at least ten minutes."""
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _slowest: float = 0.0

    def learn(self, seconds: float) -> None:
        """Learns the seconds that a shard took."""
        self._last.append(seconds)
        self._slowest = max(self._slowest, seconds)

    def whole(self) -> float:
        """Deadline of a whole shard that was never overdue, in seconds."""
        if self.fixed is not None:
            return self.fixed
        if not self._last:
            return FIRST_SECONDS
        return max(LEAST_SECONDS, TIMES_MEDIAN * statistics.median(self._last), TIMES_SLOWEST * self._slowest)

    def of(self, work: PendingShard, whole: float) -> float:
        """Deadline of `work` in seconds: a probe's share of `whole`, doubled each time a shard was overdue."""
        if work.search is not None:
            start, stop = work.span
            return max(min(whole, _LEAST_PROBE_SECONDS), whole * (stop - start) / work.shard.rows)
        return whole * float(2 ** min(work.overdue, _MOST_DOUBLINGS))


class Stop(Event):
    """Request to stop a run: shards in hand may be finished until `expired()`, then they are dropped.

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
