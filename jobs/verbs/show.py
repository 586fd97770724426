"""`hardset show`: rows of a dataset that meet a condition, or of a recipe before its run, in a table and a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.options import AsJson, MadeBy, OutputFolder, RunId, TrustCode


def show(
    out: OutputFolder,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="A condition on the columns, as DuckDB's WHERE takes it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 12,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns to show, comma-separated; all for every one.")
    ] = None,
    png: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also writes the images of the shown rows as one PNG.")
    ] = None,
    recipe: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Previews recipe N of the job file OUT instead, counted from 0."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=100, help="Source rows that --recipe makes rows of.")] = 8,
    made_by: MadeBy = None,
    trust_code: TrustCode = False,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Show rows of a run in OUT, by default the newest: those that meet a condition, and with --png their images.

    Reads the columns that are asked for, and for the picture the shown rows and the source that --job names. Needs
    DuckDB (`pip install 'hardset[inspect]'`). Returns 0, also where no row meets the condition.

    With --recipe OUT is a job file: makes the first rows of one of its recipes, as a run would, and stores none.
    """
    if recipe is not None:
        from hardset.jobs.telling.preview import preview_rows

        give(preview_rows(out, recipe=recipe, rows=rows, png=png), as_json=as_json)
        return
    from hardset.jobs.api.trusting import trust_of
    from hardset.jobs.telling.show import show_rows

    trust = trust_of(made_by, trust_code)
    give(show_rows(out, where=where, limit=limit, columns=columns, png=png, run=run, trust=trust), as_json=as_json)
