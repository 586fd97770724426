"""`hardset submit`: the same job on a Ray cluster, through Ray Jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardset.jobs.terminal.console import Exit, give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.limits import IfHeld, MaxMinutes, MaxRows, WhenHeld
from hardset.jobs.terminal.options import AcceptClasses, AcceptColumns, AsJson, Insecure, JobApi, JobFile, Overrides
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds
from hardset.jobs.terminal.voice import LogFormat, Logs
from hardset.schemas.errors import JobError

Ship = Annotated[
    bool,
    typer.Option("--ship/--no-ship", help="Send the code of hardset along, or use what the cluster has installed."),
]
Wheel = Annotated[
    Path | None, typer.Option(help="Send the code of this wheel of hardset, and not the code that runs here.")
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Sends further files of the packages that go along, such as 'nets/*.json'. Python files go anyway.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Lists the files that would be sent, and sends nothing.")]


def submit(
    job: JobFile,
    *,
    address: JobApi,
    wait: Annotated[bool, typer.Option(help="Follow the job to its end; else return once it is submitted.")] = True,
    ship: Ship = True,
    wheel: Wheel = None,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    max_rows: MaxRows = None,
    max_minutes: MaxMinutes = None,
    if_held: WhenHeld = IfHeld.FAIL,
    accept_classes: AcceptClasses = False,
    accept_columns: AcceptColumns = False,
    data: Data = None,
    dry_run: DryRun = False,
    overrides: Overrides = None,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Run a job on a Ray cluster: submit it, or join it where it already runs, and wait for its end.

    Sends the resolved job, the code of hardset, and the Python files of the modules beside the job file (or here) that
    it names; follows no links, refuses URLs with credentials, and writes nothing here. The cluster needs the libraries
    that hardset needs in the environment that its Ray runs in, which is looked at first, and all paths in the job must
    mean the same on every node. A token is taken from RAY_AUTH_TOKEN,
    RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token. Returns what `hardset generate` returned there (0, 1, 2, 3 or 5); 4 where
    the job was stopped; 1 where the cluster cannot be reached or contact is lost.
    """
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.cluster.commands import entrypoint, refuse_relative_paths
    from hardset.jobs.cluster.credentials import refuse_credentials
    from hardset.jobs.cluster.following import connect
    from hardset.jobs.cluster.shipping import Parcel, modules_beside
    from hardset.jobs.cluster.versions import check_ray
    from hardset.jobs.telling.submit import send, show_contents

    loaded = load_job(job, dated(overrides, date, time_zone))
    refuse_relative_paths(loaded, name=str(job))
    if wheel is not None and not ship:
        raise JobError("--wheel and --no-ship exclude each other: send that wheel's code, or none")
    refuse_credentials(loaded.model_dump(mode="json"), name=str(job))
    parcel = Parcel(ship, wheel, modules_beside(loaded, [job.resolve().parent, Path.cwd()]), tuple(data or ()))
    if dry_run:
        give(show_contents(loaded, parcel), as_json=as_json)
        return
    client, seconds = connect(address, insecure=insecure), f"{grace_seconds:g}"
    limits = {"max_rows": max_rows, "max_minutes": max_minutes, "if_held": if_held}
    limits |= {"accept_classes": accept_classes, "accept_columns": accept_columns}
    check_ray(client)
    line = entrypoint(grace_seconds=seconds, log_format=log_format, **limits)
    record = send(client, loaded, line, parcel, grace_seconds=grace_seconds, wait=wait, as_json=as_json)
    give(record, as_json=as_json)
    raise typer.Exit(record.get("exit_code", Exit.DONE))
