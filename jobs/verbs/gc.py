"""`hardset gc`: removes files of a dataset folder that nothing needs."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from hardset.jobs.terminal.console import AsJson, OutputFolder, count, give, say
from hardset.pipeline.audit.gc import Sweep, collect, look, orphans
from hardset.pipeline.dataset.records.lease import refuse_held
from hardset.pipeline.dataset.records.ledger import run_ids
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError

SHOWN = 20


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
    folder = Folder(out)
    refuse_held(folder)
    if not run_ids(folder) and not orphans(folder):
        raise JobError(f"{folder.name}: no run here, and nothing that one left; name the folder of a dataset")
    found = collect(folder, keep_runs=keep_runs) if delete else look(folder, keep_runs=keep_runs)
    _tell(found, delete)
    status = "nothing to do" if not found.orphans else "deleted" if delete else "found"
    give(
        {"status": status, "files": len(found.orphans), "bytes": found.bytes}
        | {"orphans": [{"path": one.path, "bytes": one.bytes, "why": one.why} for one in found.orphans]}
        | {"foreign": [one.path for one in found.foreign]}
        | {"given_up": list(found.given_up), "kept_records": list(found.kept_records)},
        as_json=as_json,
    )


def _tell(found: Sweep, deleted: bool) -> None:
    for orphan in found.orphans[:SHOWN]:
        say(f"{orphan.path} ({_size(orphan.bytes)}): {orphan.why}")
    if len(found.orphans) > SHOWN:
        say(f"... and {count(len(found.orphans) - SHOWN, 'more file')} (all of them with --json)")
        for why, files in Counter(orphan.why for orphan in found.orphans).items():
            say(f"  {count(files, 'file')}: {why}")
    for orphan in found.foreign[:SHOWN]:
        say(f"{orphan.path} ({_size(orphan.bytes)}): {orphan.why}")
    if found.kept_records:
        say(f"Records of {count(len(found.kept_records), 'run')} stay: newer runs list files that they made")
    if not found.orphans:
        say("Nothing to remove")
        return
    what = f"{count(len(found.orphans), 'file')}, {_size(found.bytes)}"
    say(f"Removed {what}" if deleted else f"Would remove {what}; --delete does it")


def _size(number: int) -> str:
    """`512 B`, `1.4 MB`."""
    size, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{number} B" if unit == "B" else f"{size:.1f} {unit}"
