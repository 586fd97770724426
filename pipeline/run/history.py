"""History of a dataset: every run that ever started in its folder, finished or not, from small records alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hardset.pipeline.dataset.records.ledger import Ledger, oldest_first, run_ids, shards_of_others, summaries
from hardset.pipeline.dataset.records.turns import current_holder
from hardset.pipeline.dataset.records.unfinished import Unfinished, standing
from hardset.pipeline.run.status import ABANDONED, AT_WORK, SUPERSEDED
from hardset.pipeline.storage.folder import Folder, in_parallel
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Changes
from hardset.schemas.records.summary import Summary


@dataclass(frozen=True)
class Night:
    """One run of a dataset's history."""

    run_id: str
    job: str
    logical_date: str | None
    state: str
    """complete, incomplete, running, superseded, or `not finished, nobody at work`."""
    started: str | None
    """UTC, ISO 8601: of the start that finished the run; of one that has not finished, its first shard's."""
    finished: str | None
    shards: int
    """Number of planned shards."""
    made: int
    """Number of shards that it made."""
    taken_over: int | None
    """Number of shards that other runs had made; None for a run that was superseded."""
    kept: int | None
    """Number of shards among `taken_over` whose source files changed or vanished since; None before the end."""
    failed: int
    """Number of shards that were given up."""
    counts: Counts
    """Row counts of the shards that the run lists; before the end, of those that it made."""
    changes: Changes | None
    """Changes of the source; None for the first run, and where the reading of the source had changed."""
    superseded_by: str | None = None
    """Id of the later run because of which no start goes on with this one."""

    def record(self) -> dict[str, Any]:
        """This run as plain JSON values."""
        return {
            "run_id": self.run_id,
            "job": self.job,
            "logical_date": self.logical_date,
            "state": self.state,
            "superseded_by": self.superseded_by,
            "started": self.started,
            "finished": self.finished,
            "shards": self.shards,
            "shards_made": self.made,
            "shards_taken_over": self.taken_over,
            "shards_kept": self.kept,
            "shards_failed": self.failed,
            "rows": self.counts.rows_out,
            "attacked": self.counts.attacked,
            "success": self.counts.success,
            "quarantined": self.counts.quarantined,
            "changes": self.changes.model_dump(mode="json") if self.changes else None,
        }


def nights(folder: Folder) -> list[Night]:
    """All runs, the newest last; those that have not finished come after the others. Writes nothing.

    Reads summaries, and plan and receipts of unfinished runs: no manifest but of runs whose version wrote no summary.
    """
    ended = {summary.run_id: summary for summary in summaries(folder)}
    runs = run_ids(folder)
    there = in_parallel(lambda run: run in ended and Ledger(folder, run).is_finished(), runs)
    finished = oldest_first(ended[run] for run, done in zip(runs, there, strict=True) if done)
    present = current_holder(folder) if runs else None
    working = present.holder.run_id if present is not None else None
    left = standing(folder, (run for run, done in zip(runs, there, strict=True) if not done), finished)
    unfinished = [_unfinished(folder, one, working) for one in left]
    return [
        *(_finished(summary, working) for summary in finished),
        *sorted(unfinished, key=lambda one: (one.state == AT_WORK, one.started or "", one.run_id)),
    ]


def _finished(summary: Summary, working: str | None) -> Night:
    return Night(
        run_id=summary.run_id,
        job=summary.job,
        logical_date=summary.logical_date,
        state=AT_WORK if summary.run_id == working else summary.status,
        started=summary.started,
        finished=summary.finished,
        shards=summary.shards,
        made=summary.made,
        taken_over=summary.taken_over,
        kept=summary.kept,
        failed=summary.failures,
        counts=summary.totals,
        changes=summary.changes,
    )


def _unfinished(folder: Folder, run: Unfinished, working: str | None) -> Night:
    plan, receipts = run.plan, Ledger(folder, run.run_id).receipts()
    at_work = run.run_id == working
    by = None if at_work else run.superseded_by
    return Night(
        run_id=run.run_id,
        job=plan.job["name"] if plan else "?",
        logical_date=plan.logical_date if plan else None,
        state=AT_WORK if at_work else SUPERSEDED if by else ABANDONED,
        started=min((receipt.started for receipt in receipts.values()), default=None),
        finished=None,
        shards=len(plan.shards) if plan else 0,
        made=len(receipts),
        taken_over=None if by or plan is None else shards_of_others(folder, plan),
        kept=None,
        failed=0,
        counts=sum((receipt.counts for receipt in receipts.values()), Counts()),
        changes=plan.changes if plan else None,
        superseded_by=by,
    )
