"""`hardset runs`: the nights of a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.options import AsJson, OutputFolder
from hardset.schemas.errors import JobError


def runs(
    out: OutputFolder,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Show the last N alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of OUT, oldest first: when, what each made and took over, and how its source had grown.

    Reads small records alone, also while a run is at work; writes nothing. Returns 0.
    """
    from hardset.jobs.telling.runs import tell
    from hardset.pipeline.run.history import nights
    from hardset.pipeline.storage.folder import Folder

    folder = Folder(out)
    found = nights(folder)
    if not found:
        raise JobError(f"{folder.name}: no run here; `hardset generate JOB` makes one")
    shown = found[-last:] if last else found
    tell(shown, len(found))
    give({"runs": [night.record() for night in shown]}, as_json=as_json)
