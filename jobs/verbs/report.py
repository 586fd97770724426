"""`hardset report`: a dataset, an evaluation or rounds of hardening in one HTML file, and rows in a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import give, say
from hardset.jobs.terminal.options import AsJson, OutputFolder, RunId


def report(
    out: OutputFolder,
    to: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where the HTML goes. Unset: beside the run's manifest.")
    ] = None,
    png: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also writes the example rows as one PNG, for READMEs.")
    ] = None,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Show what OUT holds: a run (by default the newest), rounds of hardening, an evaluation; figures and examples.

    Reads the dataset, and for the examples' clean rows the source; writes one self-contained HTML file. Returns 0.
    """
    from hardset.jobs.api.reports import write_report
    from hardset.pipeline.storage.folder import public_name

    html = write_report(out, to=to, png=png, run=run)
    picture = None if png is None else public_name(png)
    say(f"Report: {html}")
    if picture is not None:
        say(f"Picture: {picture}")
    give({"status": "done", "report": html, "picture": picture}, as_json=as_json)
