"""`hardset export`: the newest run in another layout."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hardset.jobs.terminal.console import give, say
from hardset.jobs.terminal.options import AsJson, OutputFolder, RunId


class To(StrEnum):
    """Layouts of `pipeline.dataset.views.layouts`."""

    WEBDATASET = "webdataset"
    IMAGEFOLDER = "imagefolder"


def export(
    out: OutputFolder,
    to: Annotated[
        To,
        typer.Option("--to", help="webdataset: tar files; imagefolder: a folder for each class.", show_default=False),
    ],
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="FOLDER", help="Where it goes; any fsspec URL. Unset: OUT-webdataset or so."),
    ] = None,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Lay the rows of the newest run out as WebDataset tar files, or as image folders.

    Reads every row back and holds its id, label and pixels against the run's records. What an earlier export wrote is
    kept where its digests are right; only data files that are new are laid out, and rows that the run does not hold
    are taken away. Returns 0; 5 where another export is at work there.
    """
    from hardset.jobs.telling.export import told
    from hardset.pipeline.dataset.records.chosen import chosen_manifest
    from hardset.pipeline.dataset.views.export import export as make
    from hardset.pipeline.storage.folder import Folder

    folder = Folder(out)
    view = Folder(path or f"{out.rstrip('/')}-{to.value}")
    manifest = chosen_manifest(folder, run)
    done = make(folder, manifest, to.value, view)
    say(f"{view.name}: {told(done, manifest.run_id)}")
    status = "exported" if done.made or done.removed else "nothing to do"
    give(
        {"status": status, "run_id": manifest.run_id, "to": to.value, "path": view.name, **vars(done)},
        as_json=as_json,
    )
