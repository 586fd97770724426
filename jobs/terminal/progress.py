"""Progress of a run: a live bar on a terminal, a line a minute elsewhere, an event a minute in logs for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from hardset.jobs.terminal.console import console
from hardset.jobs.terminal.phases import Phases, phases
from hardset.jobs.terminal.voice import LogFormat, Voice

if TYPE_CHECKING:
    from hardset.pipeline.run.generation import RunProgress

LINE_SECONDS = 60.0
"""Lines and events come no closer than this, the first and the last aside."""


class Shows(Protocol):
    """Takes each step of a run."""

    def __call__(self, progress: RunProgress) -> None: ...

    def phase(self, text: str) -> None:
        """Takes what begins before the first step."""
        ...


@contextmanager
def showing(voice: Voice, log_format: LogFormat = LogFormat.TEXT) -> Iterator[Shows]:
    """A callback that shows how far the run is."""
    if console.is_terminal and log_format is LogFormat.TEXT:
        with Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("shards  {task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
        ) as bar:
            yield _Live(bar)
    else:
        with phases(voice) as told:
            yield _Lines(voice, told)


class _Live:
    def __init__(self, bar: Bar) -> None:
        self._bar, self._started = bar, time.monotonic()
        self._task = bar.add_task("generate", total=None, figures="starting")

    def phase(self, text: str) -> None:
        self._bar.update(self._task, figures=text)

    def __call__(self, progress: RunProgress) -> None:
        figures = _figures(progress, time.monotonic() - self._started)
        self._bar.update(self._task, total=progress.shards, completed=progress.shards_done, figures=figures)


class _Lines:
    def __init__(self, voice: Voice, phases: Phases) -> None:
        self._voice, self._phases = voice, phases
        self._started, self._last = time.monotonic(), -LINE_SECONDS
        self._found: int | None = None

    def phase(self, text: str) -> None:
        self._phases(text)

    def __call__(self, progress: RunProgress) -> None:
        self._phases.silent()
        now = time.monotonic()
        if self._found is None:
            self._found = progress.shards_done
        if now - self._last < LINE_SECONDS and progress.shards_done < progress.shards:
            return
        self._last = now
        seconds = now - self._started
        figures, left = _figures(progress, seconds), _left(progress, self._found, seconds)
        self._voice.say(
            f"{progress.shards_done} of {progress.shards} shards  {figures}"
            + (f"  about {left:,.0f} s left" if left is not None else ""),
            event="progress",
            shards_done=progress.shards_done,
            shards=progress.shards,
            rows=progress.made.rows_out,
            rows_per_s=round(progress.made.rows_out / max(seconds, 1e-9), 3),
            attacked=progress.made.attacked,
            success=progress.made.success,
            clean=None if progress.clean is None else round(progress.clean.share, 6),
            quarantined=progress.made.quarantined,
            failed_shards=progress.failures,
            seconds_left=None if left is None else round(left),
        )


def _figures(progress: RunProgress, seconds: float) -> str:
    made = progress.made
    parts = [f"{made.rows_out / max(seconds, 1e-9):,.0f} rows/s"]
    if made.success_rate is not None:
        parts.append(f"success {made.success_rate:.1%}")
    if progress.clean is not None:
        parts.append(f"clean {progress.clean}")
    if made.quarantined:
        parts.append(f"{made.quarantined} quarantined")
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    return "  ".join(parts)


def _left(progress: RunProgress, found: int, seconds: float) -> float | None:
    """Seconds until all shards are there; None where nothing says. `found`: shards that were there at the start."""
    made, left = progress.shards_done - found, progress.shards - progress.shards_done
    return seconds / made * left if made and left else None
