"""`hardset plan`: what a run would do. Makes nothing."""

from __future__ import annotations

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.terminal.options import AsJson, JobFile, Overrides


def plan(
    job: JobFile,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show the shards and rows of JOB, and what is already done.

    Reads listings, row counts and weights; writes nothing. Returns 0.
    """
    from hardset.jobs.api.planning import plan as planned_of
    from hardset.jobs.telling.plan import tell

    planned = planned_of(job, overrides=dated(overrides, date, time_zone))
    tell(planned, job)
    give(planned, as_json=as_json)
