"""What came of an export."""

from __future__ import annotations

from hardset.jobs.terminal.console import count
from hardset.pipeline.dataset.views.export import Exported


def told(done: Exported, run_id: str) -> str:
    """The rows that the view shows, and what changed for it."""
    shown = f"shows the {count(done.rows, 'row')} of run {run_id[:8]} in {count(done.files, 'file')}"
    if not (done.made or done.removed):
        return f"{shown} already, as their digests say: nothing to do"
    return f"{shown}: {count(done.made, 'data file')} laid out, {done.kept:,} kept, {done.removed:,} files removed"
