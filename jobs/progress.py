"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from jobs.console import console, say
from pipeline.run import Progress

LINE_SECONDS = 30.0
"""Plain lines come no closer than this, the first and the last aside."""


class Shows(Protocol):
    """Takes each step of a run."""

    def __call__(self, progress: Progress) -> None: ...


@contextmanager
def showing() -> Iterator[Shows]:
    """A callback that shows how far the run is."""
    if console.is_terminal:
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
        yield _Lines()


class _Live:
    def __init__(self, bar: Bar) -> None:
        self._bar, self._started = bar, time.monotonic()
        self._task = bar.add_task("generate", total=None, figures="starting Ray")

    def __call__(self, progress: Progress) -> None:
        figures = _figures(progress, time.monotonic() - self._started)
        self._bar.update(self._task, total=progress.shards, completed=progress.shards_done, figures=figures)


class _Lines:
    def __init__(self) -> None:
        self._started, self._last = time.monotonic(), -LINE_SECONDS

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < LINE_SECONDS and progress.shards_done < progress.shards:
            return
        self._last = now
        figures = _figures(progress, now - self._started)
        say(f"{progress.shards_done} of {progress.shards} shards  {figures}{_left(progress, now - self._started)}")


def _figures(progress: Progress, seconds: float) -> str:
    made = progress.made
    parts = [f"{made.rows_out / max(seconds, 1e-9):,.0f} rows/s"]
    if made.attacked:
        parts.append(f"success {made.success / made.attacked:.1%}")
    if made.quarantined:
        parts.append(f"{made.quarantined} quarantined")
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    return "  ".join(parts)


def _left(progress: Progress, seconds: float) -> str:
    remaining = progress.shards - progress.shards_done
    if not remaining or not progress.made.rows_in:
        return ""
    per_shard = seconds / max(1, progress.shards_done)
    return f"  about {per_shard * remaining:,.0f} s left"
