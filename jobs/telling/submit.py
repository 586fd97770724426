"""What would be sent to a cluster, and a submitted job up to its end."""

from __future__ import annotations

from typing import Any

import typer

from hardset.jobs.cluster.client import Client
from hardset.jobs.cluster.following import follow
from hardset.jobs.cluster.shipping import Parcel
from hardset.jobs.cluster.submissions import contents, submit_once
from hardset.jobs.terminal.console import complain, count, say
from hardset.schemas.job.job import Job


def show_contents(job: Job, parcel: Parcel) -> dict[str, Any]:
    """Lists the files that would be sent; the answer for machines."""
    files = contents(job, parcel)
    for path, size in files.items():
        say(f"{size:>10,} B  {path}")
    say(f"Would send {count(len(files), 'file')}, {sum(files.values()):,} B; nothing was sent")
    return {"status": "nothing sent", "files": files}


def send(
    client: Client, job: Job, line: str, parcel: Parcel, *, grace_seconds: float, wait: bool, as_json: bool
) -> dict[str, Any]:
    """Submits the job, or joins it where it runs, and with `wait` shows its log until it ends; the answer for machines.

    `line`: the command that runs there. With `as_json` the log goes to stderr.
    """
    submission = submit_once(client, job, line, parcel, grace_seconds=grace_seconds)
    record: dict[str, Any] = {"submission_id": submission.id, "joined": submission.joined, "status": "SUBMITTED"}
    complain(f"{'Joined' if submission.joined else 'Submitted'} {submission.id}")
    if wait:
        outcome = follow(client, submission.id, show=lambda text: typer.echo(text, nl=False, err=as_json))
        complain(f"{submission.id}: {outcome.sentence}")
        record |= {"status": outcome.status, "exit_code": outcome.exit_code, "result": outcome.result}
    return record
