"""What came of publishing a run."""

from __future__ import annotations

from hardset.jobs.terminal.console import count
from hardset.pipeline.dataset.tables.publication import Publication


def told(publication: Publication, run_id: str) -> str:
    """The version that holds the run, and what changed for it."""
    if not publication.new:
        return f"holds run {run_id[:8]} already (version {publication.version}): nothing to do"
    files = f"{count(publication.added, 'file')} added, {publication.removed:,} removed"
    return f"run {run_id[:8]} is version {publication.version}: {files}"
