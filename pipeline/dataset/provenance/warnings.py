"""The warnings of a whole run, as its manifest holds them and an audit expects them."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.judging.masking import run_warnings
from hardset.pipeline.sources.signs import reading_warnings
from hardset.schemas.job.job import Job
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.run import Output, Plan


def manifest_warnings(job: Job, plan: Plan, outputs: Sequence[Output], clean: CleanAccuracy | None) -> tuple[str, ...]:
    """Warnings of plan and job, of what was counted in all shards, and of what was found on sampled clean rows."""
    return (
        *plan.warnings,
        *job_warnings(job),
        *reading_warnings(outputs),
        *run_warnings(plan.job["recipes"], outputs),
        *(clean.findings if clean is not None else ()),
    )
