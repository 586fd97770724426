"""How far the runs of a dataset are: in a table, and in sentences; once, or until none is at work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.live import Live
from rich.table import Table

from hardset.jobs.terminal.console import console, count, say
from hardset.pipeline.run.status import ABANDONED, AT_WORK, SUPERSEDED, RunStatus, run_statuses
from hardset.pipeline.shards.bottleneck import bound_sentence
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError

WATCH_S = 5.0


def show_runs(out: str, *, watch: bool) -> dict[str, object]:
    """Shows the runs of a dataset folder, `watch`: until none is at work; the answer for machines."""
    folder = Folder(out)
    runs = _look(folder)
    while watch and any(run.state == AT_WORK for run in runs):
        runs = _watch(folder, runs)
    console.print(_table(runs))
    _explain(runs)
    return {"runs": [run.record() for run in runs]}


def _look(folder: Folder) -> list[RunStatus]:
    runs = run_statuses(folder)
    if not runs:
        raise JobError(f"{folder.name}: no run here; `hardset generate JOB` makes one")
    return runs


def _watch(folder: Folder, runs: list[RunStatus]) -> list[RunStatus]:
    """Shows the runs anew until none is at work: in place on a terminal, as lines elsewhere."""
    if not console.is_terminal:
        for run in runs:
            if run.state == AT_WORK:
                say(_sentence(run))
        time.sleep(WATCH_S)
        return _look(folder)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while any(run.state == AT_WORK for run in runs):
            table = _table(runs)
            table.caption = "\n".join(_sentence(run) for run in runs if run.state == AT_WORK)
            live.update(table, refresh=True)
            time.sleep(WATCH_S)
            runs = _look(folder)
    return runs


def _table(runs: Sequence[RunStatus]) -> Table:
    table = Table("run", "job", "state", "shards", "rows", "success", "quarantined", box=None, header_style="bold")
    for run in runs:
        counts = run.counts
        success = "-" if counts.success_rate is None else f"{counts.success_rate:.1%}"
        shards = f"{run.shards_done:,} of {run.shards:,}"
        row = (run.run_id, run.job, run.state, shards, f"{counts.rows_out:,}", success, f"{counts.quarantined:,}")
        table.add_row(*row)
    return table


def _explain(runs: Sequence[RunStatus]) -> None:
    for run in runs:
        if run.state in (AT_WORK, ABANDONED, SUPERSEDED) or run.failed_shards:
            say(_sentence(run))
        if run.throughput is not None:
            say(f"Run {run.run_id[:8]}: {bound_sentence(run.throughput)}")
        for warning in run.warnings:
            say(f"Warning: run {run.run_id[:8]}: {warning}")


def _sentence(run: RunStatus) -> str:
    """Who works, how fast, until when, and what went wrong so far."""
    parts = []
    if run.holder is not None:
        holder, heard = run.holder.holder, _span(run.holder.heard)
        since = _clock(datetime.fromisoformat(holder.since))
        parts.append(f"process {holder.pid} on {holder.host} since {since}, last heard of {heard} ago")
    if run.state == ABANDONED:
        date = f" with --logical-date {run.logical_date}" if run.logical_date else ""
        parts.append(f"its driver is gone; start the same job again{date} to go on")
    if run.superseded_by is not None:
        parts.append(f"run {run.superseded_by[:8]} superseded it; `hardset gc --delete` removes what it left")
    if run.rows_per_s is not None:
        parts.append(f"{run.rows_per_s:,.1f} rows/s")
    if run.seconds_left is not None:
        end = datetime.now(UTC) + timedelta(seconds=run.seconds_left)
        parts.append(f"about {_span(run.seconds_left)} left, until {_clock(end)}")
    if run.last is not None and run.state in (AT_WORK, ABANDONED):
        parts.append(f"last shard at {_clock(run.last)}")
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
