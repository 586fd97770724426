"""`hardset diff`: two datasets side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.options import AsJson


def diff(
    out_a: Annotated[str, typer.Argument(metavar="OUT_A", help="A dataset folder.", show_default=False)],
    out_b: Annotated[str, typer.Argument(metavar="OUT_B", help="The one to hold against it.", show_default=False)],
    run_a: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="A finished run of OUT_A, as for --run elsewhere. Unset: the newest."),
    ] = None,
    run_b: Annotated[str | None, typer.Option(metavar="RUN_ID", help="The same of OUT_B.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Rows to name of each kind of change.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Compare a run in OUT_A to one in OUT_B, by default the newest: rows by id and pixels, success and accuracy.

    Reads columns of both, never images; writes nothing. Needs DuckDB (`pip install 'hardset[inspect]'`). Returns 0
    whether or not they differ, and says which.
    """
    from hardset.jobs.telling.diff import tell
    from hardset.pipeline.browse.compare import compare
    from hardset.pipeline.dataset.records.chosen import chosen_manifest
    from hardset.pipeline.storage.folder import Folder

    folders = {"A": Folder(out_a), "B": Folder(out_b)}
    runs = {"A": chosen_manifest(folders["A"], run_a), "B": chosen_manifest(folders["B"], run_b)}
    found = compare((folders["A"], runs["A"]), (folders["B"], runs["B"]), examples=examples)
    tell(found, folders, runs)
    sides = {side.lower(): {"run_id": run.run_id, "rows": run.totals.rows_out} for side, run in runs.items()}
    give({"status": "same" if found.same else "different", **sides, **asdict(found)}, as_json=as_json)
