"""`hardset gc`: removes files of a dataset folder that nothing needs."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import complain, give
from hardset.jobs.terminal.options import AsJson, OutputFolder
from hardset.schemas.errors import JobError


def gc(
    out: OutputFolder,
    delete: Annotated[
        bool, typer.Option("--delete", help="Removes them. Unset: only says what it would remove.")
    ] = False,
    keep_runs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Gives up all finished runs but the newest N. Unset: keeps every run."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find files in OUT that nothing needs: what attempts that were cut off left, and what runs given up leave.

    Reads listings and records. Removes nothing without --delete, never what a kept run or a published table lists, and
    nothing at all while a run holds the lease. Returns 0, and 5 where a run does.
    """
    from hardset.jobs.telling.gc import tell
    from hardset.pipeline.audit.gc import collect, look, orphans
    from hardset.pipeline.dataset.records.ledger import run_ids
    from hardset.pipeline.dataset.records.turns import Turn, refuse_held
    from hardset.pipeline.storage.folder import Folder

    folder, turn = Folder(out), Turn(tell=complain)
    refuse_held(folder, turn=turn)
    if not run_ids(folder) and not orphans(folder):
        raise JobError(f"{folder.name}: no run here, and nothing that one left; name the folder of a dataset")
    found = collect(folder, keep_runs=keep_runs, turn=turn) if delete else look(folder, keep_runs=keep_runs)
    tell(found, delete)
    status = "nothing to do" if not found.orphans else "deleted" if delete else "found"
    give(
        {"status": status, "files": len(found.orphans), "bytes": found.bytes}
        | {"orphans": [{"path": one.path, "bytes": one.bytes, "why": one.why} for one in found.orphans]}
        | {"foreign": [one.path for one in found.foreign]}
        | {"given_up": list(found.given_up), "kept_records": list(found.kept_records)},
        as_json=as_json,
    )
