"""Interleaved timing of implementations in one process; medians over rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One implementation to time."""

    name: str
    run: Callable[[], object]
    """The call that is timed."""
    warm: Callable[[], object] | None = None
    """Called once before timing, to compile and allocate. Unset: `run` itself."""


@dataclass(frozen=True)
class Times:
    """Seconds per round."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    """CPU time of all threads of the process."""

    @property
    def seconds(self) -> float:
        """Median wall-clock time."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median CPU time."""
        return statistics.median(self.cpu)

    def record(self) -> dict[str, object]:
        """Plain values."""
        return {
            "seconds": round(self.seconds, 4),
            "cpu_seconds": round(self.cpu_seconds, 4),
            "rounds": [round(second, 4) for second in self.wall],
            "cpu_rounds": [round(second, 4) for second in self.cpu],
        }


def take_turns(
    contenders: Sequence[Contender], rounds: int, settle: Callable[[], object] = lambda: None
) -> tuple[dict[str, Times], dict[str, object]]:
    """Times and last result of each contender.

    The order is reversed every round, so that drift of the machine affects all contenders equally. `settle` is called
    before every reading of the clock and waits for the accelerator.
    """
    results: dict[str, object] = {}
    for contender in contenders:
        (contender.warm or contender.run)()
        settle()
    wall: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    cpu: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            started, processor = time.perf_counter(), time.process_time()
            results[contender.name] = contender.run()
            settle()
            cpu[contender.name].append(time.process_time() - processor)
            wall[contender.name].append(time.perf_counter() - started)
    return {name: Times(tuple(wall[name]), tuple(cpu[name])) for name in wall}, results
