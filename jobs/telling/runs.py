"""The nights of a dataset in a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from hardset.jobs.terminal.console import console, count, say
from hardset.pipeline.run.history import Night


def tell(shown: Sequence[Night], there: int) -> None:
    """Shows the nights. `there`: how many there are in all."""
    names = {night.job for night in shown}
    head = ("run", "date", "state", "started", "took", "made", "taken over", "rows", "success", "quarantined", "failed")
    table = Table(*head, "source files", *(["job"] if len(names) > 1 else []), box=None, header_style="bold")
    for night in shown:
        table.add_row(*_cells(night), *([night.job] if len(names) > 1 else []))
    console.print(table)
    for night in shown:
        if night.superseded_by is not None:
            by = night.superseded_by[:8]
            say(f"Run {night.run_id[:8]}: run {by} superseded it; `hardset gc --delete` removes what it left")
    say(f"{count(there, 'run')}{f', the last {len(shown)} shown' if len(shown) < there else ''}.")


def _cells(night: Night) -> tuple[str, ...]:
    counts = night.counts
    return (
        night.run_id[:8],
        night.logical_date or "-",
        night.state,
        night.started[:16].replace("T", " ") if night.started else "-",
        _took(night),
        f"{night.made:,} of {night.shards:,}",
        "-" if night.taken_over is None else _taken_over(night),
        f"{counts.rows_out:,}",
        "-" if counts.success_rate is None else f"{counts.success_rate:.1%}",
        f"{counts.quarantined:,}",
        f"{night.failed:,}",
        _growth(night),
    )


def _took(night: Night) -> str:
    if night.started is None or night.finished is None:
        return "-"
    taken = datetime.fromisoformat(night.finished) - datetime.fromisoformat(night.started)
    return str(taken).partition(".")[0]


def _taken_over(night: Night) -> str:
    return f"{night.taken_over:,}" + (f" ({night.kept:,} kept)" if night.kept else "")


def _growth(night: Night) -> str:
    """`+3 new, 1 changed`."""
    if night.changes is None:
        return "-"
    told = ((f"+{n:,} {kind}" if kind == "new" else f"{n:,} {kind}") for kind, n in night.changes.counts.items() if n)
    return ", ".join(told) or "unchanged"
