"""`hardset plan`: what a run would do. Makes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import console, give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.options import AsJson, JobFile, Overrides


def plan(
    job: JobFile,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Try the recipes here for 20 seconds, and extrapolate time and size.")
    ] = False,
    actors: Annotated[
        int | None, typer.Option(min=1, help="With --measure: hours of so many actors. Unset: those of the job.")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(min=0, metavar="PER_HOUR", help="With --measure: what one actor's hour costs, in any currency."),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show the shards, rows and gradients of JOB, and what is already done.

    Reads listings, row counts and weights, and with --measure some rows, which are made and thrown away; writes
    nothing. Returns 0.
    """
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.api.planning import plan as planned_of
    from hardset.jobs.telling.plan import tell

    declared = load_job(job, dated(overrides, date, time_zone))
    with console.status("measuring" if measure else "planning"):
        planned = planned_of(declared, measure=measure, actors=actors, price_per_hour=price)
    tell(planned, job, "generate" if declared.harden is None else "harden")
    give(planned, as_json=as_json)
