"""`hardset publish`: the newest run as a table of a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hardset.jobs.terminal.console import give, say
from hardset.jobs.terminal.options import AsJson, OutputFolder
from hardset.schemas.errors import JobError

if TYPE_CHECKING:
    from hardset.pipeline.dataset.tables.publication import Publication


def publish(
    out: OutputFolder,
    iceberg: Annotated[
        bool, typer.Option("--iceberg", help="As an Iceberg table; its catalogue is an SQLite file in OUT.")
    ] = False,
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="CATALOG/NAMESPACE.TABLE",
            help="With --iceberg: table of another catalogue, a URI or a name in pyiceberg's configuration.",
        ),
    ] = None,
    delta: Annotated[bool, typer.Option("--delta", help="As a Delta table, in place.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish the newest run in OUT as an Iceberg or Delta table, or both.

    Copies no data: adds the run's files to the table in one version, and takes out those that the run no longer lists.
    Writes table metadata into OUT, and nothing where the table holds the run already. Returns 0.
    """
    from hardset.jobs.telling.publish import told
    from hardset.pipeline.dataset.tables.delta import publish_delta
    from hardset.pipeline.dataset.tables.iceberg import parse_target, publish_iceberg
    from hardset.pipeline.dataset.tables.publication import run_to_publish
    from hardset.pipeline.storage.folder import Folder

    if not (iceberg or delta):
        raise JobError("say what to publish as: --iceberg, --delta, or both")
    if catalog is not None and not iceberg:
        raise JobError("--catalog goes with --iceberg")
    target = None if catalog is None else parse_target(catalog)
    folder = Folder(out)
    manifest = run_to_publish(folder)
    done: dict[str, Publication] = {}
    if iceberg:
        done["iceberg"] = publish_iceberg(folder, manifest, target)
    if delta:
        done["delta"] = publish_delta(folder, manifest)
    for kind, publication in done.items():
        say(f"{kind.capitalize()} {publication.table}: {told(publication, manifest.run_id)}")
    tables = {
        kind: {"table": p.table, "version": p.version, "added": p.added, "removed": p.removed, "new": p.new}
        for kind, p in done.items()
    }
    status = "published" if any(p.new for p in done.values()) else "nothing to do"
    give({"status": status, "run_id": manifest.run_id, **tables}, as_json=as_json)
