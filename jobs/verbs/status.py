"""`hardset status`: how far the runs of a dataset are, from storage alone; or how submitted jobs stand."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.options import AsJson, Insecure, Overrides
from hardset.schemas.errors import JobError

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="OUT",
        help="The dataset folder; any fsspec URL. With --address, a job file or submission id, or nothing for all.",
        show_default=False,
    ),
]


def status(
    out: Target = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 5 s while a run is at work.")] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Job API of a cluster, http://HOST:8265: show submitted jobs instead.", show_default=False),
    ] = None,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    overrides: Overrides = None,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show every run in OUT: its state, shards, rows and success, who works on it, how fast, and until when.

    Reads plans, receipts, manifests and the lease, also while a run is going on; writes nothing and needs no cluster.
    With --address it asks the cluster about submitted jobs. Returns 0.
    """
    if address is not None:
        from hardset.jobs.cluster.submitted import show_submissions

        show_submissions(out, address, dated(overrides, date, time_zone), insecure=insecure, as_json=as_json)
        return
    if out is None:
        raise JobError("status: wants the dataset folder OUT, or --address http://HOST:8265 for submitted jobs")
    from hardset.jobs.telling.status import show_runs

    give(show_runs(out, watch=watch), as_json=as_json)
