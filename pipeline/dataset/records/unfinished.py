"""Runs that never finished: which of them a later run has superseded, and what nobody needs of those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from hardset.pipeline.dataset.records.ledger import RUNS, Ledger, manifests, receipt_path
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest, Plan
from hardset.schemas.records.summary import Summary


@dataclass(frozen=True)
class Unfinished:
    """A run without a manifest."""

    run_id: str
    plan: Plan | None
    superseded_by: str | None = None
    """Id of the later run of the same job, because of which a start makes this one no more; None: a start may."""


def unfinished_runs(folder: Folder, runs: Iterable[str], finished: Sequence[Summary]) -> list[Unfinished]:
    """The runs with these ids, none of which has a manifest. `finished`: summaries of all others."""
    plan_of = cache(lambda run: Ledger(folder, run).plan())  # a plan may be large, and be that of many's later run
    plans = {run: plan_of(run) for run in runs}
    later = [_Start(one.run_id, one.job, one.logical_date, one.lease) for one in finished]
    later += [_Start(run, plan.job["name"], plan.logical_date, plan.lease) for run, plan in plans.items() if plan]
    return [
        Unfinished(run, plan, None if plan is None else _superseding(plan, later, plan_of))
        for run, plan in plans.items()
    ]


def standing(folder: Folder, runs: Iterable[str], finished: Sequence[Summary]) -> list[Unfinished]:
    """The same, but for superseded ones of which only what later runs took over is left."""
    found = unfinished_runs(folder, runs, finished)
    listing = manifests(folder) if any(one.superseded_by for one in found) else ()
    return [one for one in found if one.superseded_by is None or remains(folder, one.run_id, listing)]


@dataclass(frozen=True)
class _Start:
    run_id: str
    job: str
    date: str | None
    lease: int


def _superseding(plan: Plan, starts: Sequence[_Start], plan_of: Callable[[str], Plan | None]) -> str | None:
    """A later run that stands for the same night, or that found the same source changed: the newest."""
    later = [one for one in starts if one.job == plan.job["name"] and one.lease > plan.lease]
    for start in sorted(later, key=lambda one: one.lease, reverse=True):
        if start.date == plan.logical_date:
            return start.run_id
        other = plan_of(start.run_id)
        if other is not None and other.job["source"] == plan.job["source"]:
            return start.run_id if _source(other) != _source(plan) else None
    return None


def _source(plan: Plan) -> set[tuple[str, str, str]]:
    return {(part.split, part.file, part.digest) for part in plan.ranges if not part.kept}


def remains(folder: Folder, run_id: str, finished: Iterable[Manifest]) -> dict[str, int]:
    """Sizes by path of the records of a superseded run that nobody needs: all but those of shards that manifests list.

    The plan comes last: while it is there, a sweep that was cut off can be taken up again.
    """
    home = f"{RUNS}/{run_id}/"
    listed = {output.key for manifest in finished for output in manifest.outputs if output.run_id == run_id}
    needed = {f"{home}plan.json"} if listed else set()
    receipts = Ledger(folder, run_id).receipts().values() if listed else ()
    needed |= {receipt_path(receipt) for receipt in receipts if receipt.key in listed}
    found = [(path, size) for path, size in folder.sizes(home).items() if path not in needed]
    return dict(sorted(found, key=lambda one: (one[0].endswith("/plan.json"), one[0])))
