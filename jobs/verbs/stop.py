"""`hardset stop`: ends a submitted job."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hardset.jobs.terminal.console import complain, give, say
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.options import AsJson, Insecure, JobApi, Overrides, Submitted


def stop(
    target: Submitted,
    *,
    address: JobApi,
    wait: Annotated[bool, typer.Option(help="Wait until it has ended; else return once it is asked to.")] = True,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    overrides: Overrides = None,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Stop a submitted job: what it has committed stays, and submitting it again goes on from there.

    The job finishes or drops the shards in hand within its --grace-seconds. Writes nothing. Returns 0 when the job has
    ended, now or before; 1 where contact is lost; 2 where the cluster knows no such job.
    """
    from hardset.jobs.cluster.following import connect, follow
    from hardset.jobs.cluster.submissions import id_of

    client = connect(address, insecure=insecure)
    submission_id = id_of(client, target, dated(overrides, date, time_zone))
    asked = client.stop(submission_id)
    record: dict[str, Any] = {"submission_id": submission_id, "asked_to_stop": asked, "status": "STOPPING"}
    if asked:
        complain(f"Asked {submission_id} to stop")
    if wait or not asked:
        outcome = follow(client, submission_id, show=lambda _: None, poll_s=0.5)
        record |= {"status": outcome.status, "exit_code": outcome.exit_code, "result": outcome.result}
        say(f"{submission_id} {'ended' if asked else 'had ended already'}: {outcome.sentence}")
    give(record, as_json=as_json)
