"""`hardset report`: a dataset shown in one HTML file, and in a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.console import AsJson, OutputFolder, RunId, give, say
from pipeline.replay import chosen_manifest
from pipeline.reporting.clean import clean_pixels
from pipeline.reporting.page import page, read_content
from pipeline.reporting.picture import grid_png
from pipeline.sinks.ledger import RUNS, Ledger
from pipeline.storage import Folder, public_name
from schemas.errors import JobError


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
    """Show a run in OUT, by default the newest: counts, success per recipe and class, norms, examples, provenance.

    Reads the dataset, and for the examples' clean rows the source; writes one self-contained HTML file. Returns 0.
    """
    html = write_report(out, to=to, png=png, run=run)
    say(f"Report: {html}")
    if png is not None:
        say(f"Picture: {public_name(png)}")
    give({"status": "done", "report": html, "picture": None if png is None else public_name(png)}, as_json=as_json)


def write_report(out: str, *, to: str | None = None, png: str | None = None, run: str | None = None) -> str:
    """Writes the report of a run in `out` and with `png` a picture. Returns where the report lies.

    `run`: how the run's id starts; None: the newest. Raises JobError where there is no such run, RunError where a file
    cannot be written.
    """
    folder = Folder(out)
    manifest = chosen_manifest(folder, run)
    content = read_content(folder, manifest, clean_pixels(lambda run: Ledger(folder, run).plan()))
    if png is not None:
        write_file(png, grid_png(content))
    html = page(content).encode()
    if to is not None:
        return write_file(to, html)
    path = f"{RUNS}/{manifest.run_id}/report.html"
    folder.write(path, html)
    return f"{folder.name.rstrip('/')}/{path}"


def write_file(file: str, data: bytes) -> str:
    """Puts a file at a path or URL, and returns its public name."""
    place, slash, name = file.rpartition("/")
    if not name:
        raise JobError(f"{public_name(file)}: is a folder; name a file")
    Folder(place + slash or ".").write(name, data)
    return public_name(file)
