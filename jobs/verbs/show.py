"""`hardset show`: the rows of a dataset that meet a condition, in a table and a picture."""

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
    made_by: MadeBy = None,
    trust_code: TrustCode = False,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Show rows of a run in OUT, by default the newest: those that meet a condition, and with --png their images.

    Reads the columns that are asked for, and for the picture the shown rows and the source that --job names. Needs
    DuckDB (`pip install 'hardset[inspect]'`). Returns 0, also where no row meets the condition.
    """
    from hardset.jobs.api.audit import trust_of
    from hardset.jobs.telling.show import show_rows

    trust = trust_of(made_by, trust_code)
    give(show_rows(out, where=where, limit=limit, columns=columns, png=png, run=run, trust=trust), as_json=as_json)
