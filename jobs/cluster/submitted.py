"""How the jobs stand that were submitted to a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from hardset.jobs.cluster.client import Client
from hardset.jobs.cluster.following import connect, outcome_of
from hardset.jobs.cluster.submissions import id_of, submissions
from hardset.jobs.terminal.console import console, give, say


def show_submissions(
    target: str | None, address: str, overrides: Sequence[str], *, insecure: bool, as_json: bool
) -> None:
    """Shows one submission, or all that the cluster remembers where `target` is None."""
    client = connect(address, insecure=insecure)
    found = submissions(client) if target is None else [client.job(id_of(client, target, overrides))]
    records = [_record(client, details, whole=target is not None) for details in found]
    if records:
        table = Table("submission", "status", "exit code", "started", "ended", box=None, header_style="bold")
        for record in records:
            code = "-" if record["exit_code"] is None else str(record["exit_code"])
            table.add_row(
                record["submission_id"], record["status"], code, record["started"] or "-", record["ended"] or "-"
            )
        console.print(table)
    else:
        say(f"{client.address}: no job of hardset here")
    for record in records:
        if record["message"]:
            say(f"{record['submission_id']}: {record['message']}")
    give({"submissions": records}, as_json=as_json)


def _record(client: Client, details: Any, *, whole: bool) -> dict[str, Any]:
    """One submission for machines; `whole`: with the result that its driver left, which costs a look at its log."""
    record: dict[str, Any] = {
        "submission_id": details.submission_id,
        "status": str(details.status.value),
        "exit_code": None,
        "started": _time(details.start_time),
        "ended": _time(details.end_time),
        "message": None,
    }
    if details.status.is_terminal():
        outcome = outcome_of(details, client.log(details.submission_id) if whole else "")
        record["exit_code"] = int(outcome.exit_code)
        record["message"] = outcome.sentence if record["status"] == "FAILED" else None
        if whole:
            record["result"] = outcome.result
    return record


def _time(milliseconds: int | None) -> str | None:
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).isoformat(timespec="seconds")
