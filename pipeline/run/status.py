"""Status of a run, from its records on storage alone: while it works, after its driver died, and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hardset.pipeline.dataset.records.ledger import Ledger, find_receipts, manifests, run_ids
from hardset.pipeline.dataset.records.turns import Present, current_holder
from hardset.pipeline.dataset.records.unfinished import Unfinished, standing
from hardset.pipeline.judging.masking import run_warnings
from hardset.pipeline.shards.bottleneck import Meter, throughput_record
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Output, Plan, Receipt
from hardset.schemas.records.summary import Summary
from hardset.schemas.records.throughput import Throughput

WINDOW_S = 600.0
"""Seconds that rates are taken over: enough for slow shards, few enough to follow a cluster that grows."""
AT_WORK = "running"
ABANDONED = "not finished, nobody at work"
SUPERSEDED = "superseded"


@dataclass(frozen=True)
class RunStatus:
    """Status of one run at one moment."""

    run_id: str
    job: str
    state: str
    """complete, incomplete, running, superseded, or `not finished, nobody at work`."""
    shards: int
    shards_done: int
    """Number of shards that are there, whichever run made them; of a superseded run, of those that it made."""
    counts: Counts
    failed_shards: int
    """Number of shards given up; known once the run has ended."""
    retries: int
    """Number of attempts beyond the first of the committed shards; 0 once the run has ended."""
    warnings: tuple[str, ...]
    last: datetime | None
    """Moment when the last shard was committed, or the run ended."""
    holder: Present | None
    """Host and process that work on it; None where nobody does."""
    rows_per_s: float | None
    """Rows stored per second lately; None while nobody works or nothing was committed yet."""
    seconds_left: float | None
    """Seconds until the last shard, at the present rate."""
    superseded_by: str | None = None
    """Id of the later run because of which no start goes on with this one."""
    logical_date: str | None = None
    throughput: Throughput | None = None
    """Busy shares of the actors' stages: of the run so far, or as the manifest tells it."""

    def record(self) -> dict[str, Any]:
        """This status as plain JSON values."""
        return {
            "run_id": self.run_id,
            "job": self.job,
            "logical_date": self.logical_date,
            "state": self.state,
            "superseded_by": self.superseded_by,
            "shards": self.shards,
            "shards_done": self.shards_done,
            "rows": self.counts.rows_out,
            "attacked": self.counts.attacked,
            "success": self.counts.success,
            "quarantined": self.counts.quarantined,
            "failed_shards": self.failed_shards,
            "retries": self.retries,
            "last": self.last.isoformat(timespec="seconds") if self.last else None,
            "holder": _who(self.holder) if self.holder else None,
            "rows_per_s": round(self.rows_per_s, 3) if self.rows_per_s is not None else None,
            "seconds_left": round(self.seconds_left) if self.seconds_left is not None else None,
            "warnings": list(self.warnings),
            "throughput": throughput_record(self.throughput),
        }


def run_statuses(folder: Folder) -> list[RunStatus]:
    """Every run that ever started in a dataset folder. Reads plans, receipts and manifests; writes nothing.

    Takes up to half a minute where a process of another machine holds the lease, or seems to.
    """
    runs = run_ids(folder)
    present = current_holder(folder) if runs else None
    ended = {manifest.run_id: manifest for manifest in manifests(folder)}
    left = (run for run in runs if run not in ended)
    unfinished = {one.run_id: one for one in standing(folder, left, [Summary.of(one) for one in ended.values()])}
    earlier = {output.key: output for manifest in ended.values() for output in manifest.outputs}
    found = []
    for run in runs:
        own = present if present is not None and present.holder.run_id == run else None
        if run in ended and own is None:
            found.append(_ended(run, Ledger(folder, run).plan(), ended[run]))
        elif run in ended or run in unfinished:
            found.append(_unfinished(folder, run, unfinished.get(run), own, earlier))
    return found


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
        logical_date=manifest.logical_date,
        throughput=manifest.throughput,
    )


def _unfinished(
    folder: Folder, run_id: str, left: Unfinished | None, holder: Present | None, earlier: Mapping[str, Output]
) -> RunStatus:
    """A run without a manifest, or one that somebody is at work on again. `earlier`: shards of the others, by key."""
    ledger = Ledger(folder, run_id)
    plan, receipts = ledger.plan() if left is None else left.plan, ledger.receipts()
    by = left.superseded_by if left is not None and holder is None else None
    done = _own_outputs(plan, receipts) if by else _committed(folder, plan, receipts, earlier)
    rows_per_s, rows_in_per_s = _pace(receipts, holder.number) if holder else (None, None)
    open_rows = sum(shard.rows for shard in plan.shards if shard.key not in done) if plan else None
    return RunStatus(
        run_id=run_id,
        job=plan.job["name"] if plan else "?",
        state=AT_WORK if holder else SUPERSEDED if by else ABANDONED,
        shards=len(plan.shards) if plan else 0,
        shards_done=len(done),
        counts=sum((output.counts for output in done.values()), Counts()),
        failed_shards=0,
        retries=sum(receipt.attempt - 1 for receipt in receipts.values()),
        warnings=run_warnings(plan.job["recipes"], done.values()) if plan else (),
        last=max((datetime.fromisoformat(receipt.finished) for receipt in receipts.values()), default=None),
        holder=holder,
        rows_per_s=rows_per_s,
        seconds_left=open_rows / rows_in_per_s if open_rows is not None and rows_in_per_s else None,
        superseded_by=by,
        logical_date=plan.logical_date if plan else None,
        throughput=Meter(receipts.values()).throughput(),
    )


def _own_outputs(plan: Plan | None, receipts: Mapping[str, Receipt]) -> dict[str, Output]:
    """Shards of the plan that this run made, by key."""
    shards = {shard.key: shard for shard in plan.shards} if plan else {}
    return {key: receipt.output(shards[key]) for key, receipt in receipts.items() if key in shards}


def _committed(
    folder: Folder, plan: Plan | None, receipts: Mapping[str, Receipt], earlier: Mapping[str, Output]
) -> dict[str, Output]:
    """Shards of the plan that are there, by key: those of this run, and those that earlier runs left for it."""
    shards = {shard.key: shard for shard in plan.shards} if plan else {}
    found = {
        key: output.model_copy(update={"recipe": shards[key].recipe})
        for key, output in earlier.items()
        if key in shards
    }
    found |= _own_outputs(plan, receipts)
    missing = shards.keys() - found.keys()
    others = find_receipts(folder, missing) if missing else ()
    return found | {receipt.key: receipt.output(shards[receipt.key]) for receipt in others}


def _pace(receipts: Mapping[str, Receipt], lease: int) -> tuple[float | None, float | None]:
    """Rows per second that came out, and that went in, of what was committed lately under a lease.

    Each host's rows are divided by that host's own seconds, because clocks of hosts differ.
    """
    hosts: dict[str, list[Receipt]] = {}
    for receipt in receipts.values():
        if receipt.lease == lease:
            hosts.setdefault(receipt.host, []).append(receipt)
    paces = [pace for made in hosts.values() if (pace := _pace_of_host(made)) is not None]
    return (sum(out for out, _ in paces), sum(into for _, into in paces)) if paces else (None, None)


def _pace_of_host(made: Sequence[Receipt]) -> tuple[float, float] | None:
    times = [(datetime.fromisoformat(receipt.started), datetime.fromisoformat(receipt.finished)) for receipt in made]
    end = max(finished for _, finished in times)
    begin = max(end - timedelta(seconds=WINDOW_S), min(started for started, _ in times))
    seconds = (end - begin).total_seconds()
    if seconds <= 0:
        return None
    lately = [receipt.counts for receipt, (_, finished) in zip(made, times, strict=True) if finished >= begin]
    counts = sum(lately, Counts())
    return counts.rows_out / seconds, counts.rows_in / seconds


def _who(present: Present) -> dict[str, Any]:
    """A holder as others may see it: its token stays out."""
    holder = present.holder
    return {
        "host": holder.host,
        "pid": holder.pid,
        "since": holder.since,
        "heard_of_s_ago": round(present.heard, 1),
    }
