"""`hardset logs`: what a submitted job has printed."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import complain
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.options import Insecure, JobApi, Overrides, Submitted


def logs(
    target: Submitted,
    *,
    address: JobApi,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    lines: Annotated[int | None, typer.Option(min=0, help="The last lines only; with --follow, to begin with.")] = None,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    overrides: Overrides = None,
    insecure: Insecure = False,
) -> None:
    """Show the log of a submitted job; it is kept for as long as the cluster's head lives.

    Writes nothing. Returns 0, with --follow too, however the job ends (`hardset submit` joins a running job and returns
    its exit code); 1 where contact is lost; 2 where the cluster knows no such job.
    """
    from hardset.jobs.cluster.following import connect
    from hardset.jobs.cluster.following import follow as follow_to_its_end
    from hardset.jobs.cluster.submissions import id_of

    client = connect(address, insecure=insecure)
    submission_id = id_of(client, target, dated(overrides, date, time_zone))
    log = client.log(submission_id)
    kept = log.splitlines(keepends=True)
    typer.echo("".join(kept if lines is None else kept[len(kept) - min(lines, len(kept)) :]), nl=False)
    if follow:
        outcome = follow_to_its_end(client, submission_id, show=lambda text: typer.echo(text, nl=False), seen=len(log))
        complain(f"{submission_id}: {outcome.sentence}")
