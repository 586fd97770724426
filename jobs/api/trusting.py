"""Whose word counts in an audit, from what a user names."""

from __future__ import annotations

from hardset.jobs.api.inputs import Document, load_job
from hardset.pipeline.audit.trust import Trust
from hardset.schemas.job.job import Job


def trust_of(job: Document | Job | None, records: bool = False, source: str | None = None) -> Trust:
    """What an operator brings to an audit: the job that made the dataset, a word for its records, its source."""
    return Trust(None if job is None else load_job(job), records, source)
