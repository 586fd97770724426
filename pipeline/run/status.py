"""Status of a run, from its records on storage alone: while it works, after its driver died, and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hardset.pipeline.dataset.records.lease import Holder, current_holder
from hardset.pipeline.dataset.records.ledger import Ledger, manifests, run_ids
from hardset.pipeline.judging.masking import run_warnings
from hardset.pipeline.shards.bottleneck import Meter, throughput_record
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Counts, Manifest, Output, Plan, Receipt
from hardset.schemas.records.throughput import Throughput

WINDOW_S = 600.0
"""Seconds that rates are taken over: enough for slow shards, few enough to follow a cluster that grows."""
AT_WORK = "running"
ABANDONED = "not finished, nobody at work"


@dataclass(frozen=True)
class RunStatus:
    """Status of one run at one moment."""

    run_id: str
    job: str
    state: str
    """complete, incomplete, running, or `not finished, nobody at work`."""
    shards: int
    shards_done: int
    counts: Counts
    failed_shards: int
    """Number of shards given up; known once the run has ended."""
    retries: int
    """Number of attempts beyond the first of the committed shards; 0 once the run has ended."""
    warnings: tuple[str, ...]
    last: datetime | None
    """Moment when the last shard was committed, or the run ended."""
    holder: Holder | None
    """Host and process that work on it; None where nobody does."""
    rows_per_s: float | None
    """Rows stored per second lately; None while nobody works or nothing was committed yet."""
    seconds_left: float | None
    """Seconds until the last shard, at the present rate."""
    throughput: Throughput | None = None
    """Busy shares of the actors' stages: of the run so far, or as the manifest tells it."""

    def record(self, now: datetime) -> dict[str, Any]:
        """This status as plain JSON values."""
        return {
            "run_id": self.run_id,
            "job": self.job,
            "state": self.state,
            "shards": self.shards,
            "shards_done": self.shards_done,
            "rows": self.counts.rows_out,
            "attacked": self.counts.attacked,
            "success": self.counts.success,
            "quarantined": self.counts.quarantined,
            "failed_shards": self.failed_shards,
            "retries": self.retries,
            "last": self.last.isoformat(timespec="seconds") if self.last else None,
            "holder": _who(self.holder, now) if self.holder else None,
            "rows_per_s": round(self.rows_per_s, 3) if self.rows_per_s is not None else None,
            "seconds_left": round(self.seconds_left) if self.seconds_left is not None else None,
            "warnings": list(self.warnings),
            "throughput": throughput_record(self.throughput),
        }


def run_statuses(folder: Folder, now: datetime) -> list[RunStatus]:
    """Every run that ever started in a dataset folder. Reads plans, receipts and manifests; writes nothing."""
    runs = run_ids(folder)
    holder = current_holder(folder) if runs else None
    return [run_status(folder, run, holder, now) for run in runs]


def run_status(folder: Folder, run_id: str, holder: Holder | None, now: datetime) -> RunStatus:
    """One run. `holder`: who holds the folder's lease at the moment `now`."""
    ledger = Ledger(folder, run_id)
    plan, manifest = ledger.plan(), ledger.manifest()
    own = holder if holder is not None and holder.run_id == run_id else None
    if manifest is not None and own is None:
        return _ended(run_id, plan, manifest)
    return _unfinished(folder, run_id, plan, ledger.receipts(), own, now)


def _ended(run_id: str, plan: Plan | None, manifest: Manifest) -> RunStatus:
    return RunStatus(
        run_id=run_id,
        job=manifest.job["name"],
        state=manifest.status,
        shards=len(plan.shards) if plan else len(manifest.outputs) + len(manifest.failures),
        shards_done=len(manifest.outputs),
        counts=manifest.totals,
        failed_shards=len(manifest.failures),
        retries=0,
        warnings=manifest.warnings,
        last=datetime.fromisoformat(manifest.finished),
        holder=None,
        rows_per_s=None,
        seconds_left=None,
        throughput=manifest.throughput,
    )


def _unfinished(
    folder: Folder,
    run_id: str,
    plan: Plan | None,
    receipts: Mapping[str, Receipt],
    holder: Holder | None,
    now: datetime,
) -> RunStatus:
    done = _committed(folder, plan, receipts)
    rows_per_s, rows_in_per_s = _pace(receipts, holder, now) if holder else (None, None)
    left = sum(shard.rows for shard in plan.shards if shard.key not in done) if plan else None
    return RunStatus(
        run_id=run_id,
        job=plan.job["name"] if plan else "?",
        state=AT_WORK if holder else ABANDONED,
        shards=len(plan.shards) if plan else 0,
        shards_done=len(done),
        counts=sum((output.counts for output in done.values()), Counts()),
        failed_shards=0,
        retries=sum(receipt.attempt - 1 for receipt in receipts.values()),
        warnings=run_warnings(plan.job["recipes"], done.values()) if plan else (),
        last=max((datetime.fromisoformat(receipt.finished) for receipt in receipts.values()), default=None),
        holder=holder,
        rows_per_s=rows_per_s,
        seconds_left=left / rows_in_per_s if left is not None and rows_in_per_s else None,
        throughput=Meter(receipts.values()).throughput(),
    )


def _committed(folder: Folder, plan: Plan | None, receipts: Mapping[str, Receipt]) -> dict[str, Output]:
    """Shards of the plan that are there, by key: those of this run, and those that earlier runs left for it."""
    shards = {shard.key: shard for shard in plan.shards} if plan else {}
    earlier = {output.key: output for manifest in manifests(folder) for output in manifest.outputs}
    found = {
        key: output.model_copy(update={"recipe": shards[key].recipe})
        for key, output in earlier.items()
        if key in shards
    }
    return found | {key: receipt.output(shards[key]) for key, receipt in receipts.items() if key in shards}


def _pace(receipts: Mapping[str, Receipt], holder: Holder, now: datetime) -> tuple[float | None, float | None]:
    """Rows per second that came out, and that went in, of what this holder committed lately."""
    seconds = min((now - datetime.fromisoformat(holder.since)).total_seconds(), WINDOW_S)
    since = now - timedelta(seconds=max(seconds, 0))
    lately = [part.counts for part in receipts.values() if datetime.fromisoformat(part.finished) >= since]
    if not lately or seconds <= 0:
        return None, None
    made = sum(lately, Counts())
    return made.rows_out / seconds, made.rows_in / seconds


def _who(holder: Holder, now: datetime) -> dict[str, Any]:
    """A holder as others may see it: its token stays out."""
    heard = max(0.0, now.timestamp() - holder.renewed)
    return {"host": holder.host, "pid": holder.pid, "since": holder.since, "heard_of_s_ago": round(heard, 1)}
