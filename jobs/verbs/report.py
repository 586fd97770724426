"""`hardset report`: a dataset, an evaluation or rounds of hardening in one HTML file, and rows in a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import give, say
from hardset.jobs.terminal.options import AsJson, MadeBy, OutputFolder, RunId, TrustCode


def report(
    out: OutputFolder,
    to: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where the HTML goes. Unset: OUT/report.html."),
    ] = None,
    png: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also writes the example rows as one PNG, for READMEs.")
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Also writes an evaluation's figures.csv and figures.tex there."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="OUT", help="Further evaluation, of another seed: --tables then has mean and deviation."),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(metavar="TRACKER", help="Also logs settings, figures and the report: mlflow, by its variables."),
    ] = None,
    made_by: MadeBy = None,
    trust_code: TrustCode = False,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Show what OUT holds: a run (by default the newest), rounds of hardening, an evaluation; figures and examples.

    Reads the dataset, and for the examples' clean rows the source that --job names, or a bundled one. Writes one
    self-contained HTML file. Returns 0.
    """
    from hardset.jobs.api.reports import read_report, why_no_clean_rows, write_report
    from hardset.jobs.api.trusting import trust_of
    from hardset.pipeline.dataset.records.ledger import latest_manifest
    from hardset.pipeline.storage.folder import Folder, public_name

    lines: tuple[str, ...] = ()
    if tables is not None:
        from hardset.jobs.api.paper_tables import write_tables

        lines = write_tables([out, *(beside or ())], tables)
    trust, folder = trust_of(made_by, trust_code), Folder(out)
    if track is not None:
        from hardset.jobs.api.tracking import check_tracker

        check_tracker(track)
    html = write_report(out, to=to, png=png, run=run, trust=trust)
    if why := why_no_clean_rows(folder, latest_manifest(folder), trust):
        say(f"Note: {why}")
    picture = None if png is None else public_name(png)
    say(f"Report: {html}")
    if picture is not None:
        say(f"Picture: {picture}")
    for line in lines:
        say(line)
    if tables is not None:
        say(f"Tables: {public_name(tables)}")
    if track is not None:
        from hardset.jobs.api.tracking import log

        for line in log(out, read_report(out, html, to), tracker=track, run=run):
            say(line)
    give({"status": "done", "report": html, "picture": picture}, as_json=as_json)
