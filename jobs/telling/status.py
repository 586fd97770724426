"""How far the runs of a dataset are: in a table, and in sentences; once, or until none is at work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.live import Live
from rich.table import Table

from hardset.jobs.terminal.console import console, count, say
from hardset.pipeline.run.status import ABANDONED, AT_WORK, RunStatus, run_statuses
from hardset.pipeline.shards.bottleneck import bound_sentence
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError

WATCH_S = 5.0


def show_runs(out: str, *, watch: bool) -> dict[str, object]:
    """Shows the runs of a dataset folder, `watch`: until none is at work; the answer for machines."""
    folder = Folder(out)
    runs, now = _look(folder)
    while watch and any(run.state == AT_WORK for run in runs):
        runs, now = _watch(folder, runs, now)
    console.print(_table(runs))
    _explain(runs, now)
    return {"runs": [run.record(now) for run in runs]}


def _look(folder: Folder) -> tuple[list[RunStatus], datetime]:
    now = datetime.now(UTC)
    runs = run_statuses(folder, now)
    if not runs:
        raise JobError(f"{folder.name}: no run here; `hardset generate JOB` makes one")
    return runs, now


def _watch(folder: Folder, runs: list[RunStatus], now: datetime) -> tuple[list[RunStatus], datetime]:
    """Shows the runs anew until none is at work: in place on a terminal, as lines elsewhere."""
    if not console.is_terminal:
        for run in runs:
            if run.state == AT_WORK:
                say(_sentence(run, now))
        time.sleep(WATCH_S)
        return _look(folder)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while any(run.state == AT_WORK for run in runs):
            table = _table(runs)
            table.caption = "\n".join(_sentence(run, now) for run in runs if run.state == AT_WORK)
            live.update(table, refresh=True)
            time.sleep(WATCH_S)
            runs, now = _look(folder)
    return runs, now


def _table(runs: Sequence[RunStatus]) -> Table:
    table = Table("run", "job", "state", "shards", "rows", "success", "quarantined", box=None, header_style="bold")
    for run in runs:
        counts = run.counts
        success = f"{counts.success / counts.attacked:.1%}" if counts.attacked else "-"
        shards = f"{run.shards_done:,} of {run.shards:,}"
        row = (run.run_id, run.job, run.state, shards, f"{counts.rows_out:,}", success, f"{counts.quarantined:,}")
        table.add_row(*row)
    return table


def _explain(runs: Sequence[RunStatus], now: datetime) -> None:
    for run in runs:
        if run.state in (AT_WORK, ABANDONED) or run.failed_shards:
            say(_sentence(run, now))
        if run.throughput is not None:
            say(f"Run {run.run_id[:8]}: {bound_sentence(run.throughput)}")
        for warning in run.warnings:
            say(f"Warning: run {run.run_id[:8]}: {warning}")


def _sentence(run: RunStatus, now: datetime) -> str:
    """Who works, how fast, until when, and what went wrong so far."""
    parts = []
    if run.holder is not None:
        heard = now.timestamp() - run.holder.renewed
        who = f"process {run.holder.pid} on {run.holder.host}"
        parts.append(
            f"{who} since {_clock(datetime.fromisoformat(run.holder.since))}, last heard of {_span(heard)} ago"
        )
    if run.state == ABANDONED:
        parts.append("its driver is gone; start the same job again to go on")
    if run.rows_per_s is not None:
        parts.append(f"{run.rows_per_s:,.1f} rows/s")
    if run.seconds_left is not None:
        end = datetime.fromtimestamp(now.timestamp() + run.seconds_left, tz=now.tzinfo)
        parts.append(f"about {_span(run.seconds_left)} left, until {_clock(end)}")
    if run.last is not None and run.state in (AT_WORK, ABANDONED):
        parts.append(f"last shard {_span((now - run.last).total_seconds())} ago")
    if run.retries:
        parts.append(count(run.retries, "attempt") + " repeated")
    if run.failed_shards:
        parts.append(count(run.failed_shards, "shard") + " failed")
    return f"Run {run.run_id[:8]}: {'; '.join(parts)}"


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _span(seconds: float) -> str:
    """`4 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for size, unit in ((86_400, "days"), (3_600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{max(seconds, 0):.0f} s"
