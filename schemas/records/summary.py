"""The summary of a finished run: what a history of many runs reads in place of their manifests."""

from __future__ import annotations

from typing import Literal

from hardset.schemas.base import Spec
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Changes, Manifest


class Summary(Spec):
    """Summary of a finished run in a few hundred bytes, written before the manifest, which is authoritative."""

    run_id: str
    job: str
    """Name of the job."""
    logical_date: str | None
    status: Literal["complete", "incomplete"]
    lease: int
    started: str
    finished: str
    shards: int
    """Number of planned shards."""
    made: int
    """Number of shards made by this run, in any of its starts."""
    taken_over: int
    """Number of shards reused from earlier runs."""
    kept: int
    """Number of reused shards whose source files changed or vanished since."""
    failures: int
    """Number of shards that were given up."""
    totals: Counts
    changes: Changes | None
    clean: CleanAccuracy | None = None
    """Clean accuracy as in the manifest."""
    bytes: int | None = None
    """Size of the data files that the run lists; None if the version of hardset did not record it."""

    @classmethod
    def of(cls, manifest: Manifest) -> Summary:
        """Summary of a manifest."""
        made = sum(output.run_id == manifest.run_id for output in manifest.outputs)
        return cls(
            run_id=manifest.run_id,
            job=manifest.job["name"],
            logical_date=manifest.logical_date,
            status=manifest.status,
            lease=manifest.lease,
            started=manifest.started,
            finished=manifest.finished,
            shards=len(manifest.outputs) + len(manifest.failures),
            made=made,
            taken_over=len(manifest.outputs) - made,
            kept=sum(output.kept for output in manifest.outputs),
            failures=len(manifest.failures),
            totals=manifest.totals,
            changes=manifest.changes,
            clean=manifest.clean,
            bytes=sum(file.bytes for file in manifest.data_files),
        )

    @property
    def written(self) -> tuple[int, str, str]:
        """Sort key of runs by when they were written, the last one last."""
        return self.lease, self.finished, self.run_id
