"""State of a run: what a job asks for, and what of it its output holds already."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property

from hardset.pipeline.dataset.records.holders import newest_number
from hardset.pipeline.dataset.records.ledger import Ledger, find_receipts, newest_first, oldest_first, summaries
from hardset.pipeline.dataset.records.places import present_files
from hardset.pipeline.planning.changes import Earlier
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Manifest, Output, Plan, Shard
from hardset.schemas.records.summary import Summary


@dataclass(frozen=True)
class RunState:
    """A plan and what of it is committed already."""

    plan: Plan
    folder: Folder
    done: Mapping[str, Output]
    """Shards of the plan that are committed, by key, whichever run made them."""
    earlier: Manifest | None
    """The newest manifest of a run of the same job, of those that stand for no later date."""
    lease: int
    """Highest lease number that the output told of before anything else was read."""
    newest: Summary | None
    """Summary of the newest run of any job."""

    @cached_property
    def missing(self) -> tuple[Shard, ...]:
        """Shards of the plan that nobody has committed, in its order."""
        return tuple(shard for shard in self.plan.shards if shard.key not in self.done)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: all shards are there, and the newest manifest lists them as the plan does."""
        if self.earlier is None or self.earlier.run_id != self.plan.run_id or self.missing:
            return False
        kept = {output.key for output in self.earlier.outputs if output.kept}
        planned = {shard.key for shard in self.plan.shards if self.plan.is_kept(shard)}
        return self.earlier.status == "complete" and kept == planned


def look(job: Job) -> RunState:
    """The plan of `job` and what its output holds of it; writes nothing.

    Reads the newest manifest of the job alone. Shards that it does not list are looked for among the receipts of all
    runs, those that never finished too.
    """
    folder = Folder(job.output.path)
    lease = newest_number(folder)
    ended = summaries(folder)
    lease = max((lease, *(summary.lease for summary in ended)))
    manifest = next(newest_first(folder, [summary for summary in ended if _precedes(summary, job)]), None)
    present = present_files(folder)
    listed = manifest.outputs if manifest is not None else ()
    there = {output.key: output for output in listed if _files_exist(output, present)}
    earlier = _earlier(folder, manifest, frozenset(there))
    plan = make_plan(job, earlier)
    newest = next(reversed(oldest_first(ended)), None)
    return RunState(plan, folder, _committed(folder, plan, there, present), manifest, lease, newest)


def _precedes(summary: Summary, job: Job) -> bool:
    """Whether a run is one that a start of `job` goes on from: a late start for an old date knows no later one."""
    later = bool(summary.logical_date and job.logical_date and summary.logical_date > job.logical_date)
    return summary.job == job.name and not later


def _earlier(folder: Folder, manifest: Manifest | None, available: frozenset[str]) -> Earlier | None:
    plan = None if manifest is None else Ledger(folder, manifest.run_id).plan()
    return None if manifest is None or plan is None else Earlier(manifest, plan, available)


def _committed(folder: Folder, plan: Plan, there: Mapping[str, Output], present: Container[str]) -> dict[str, Output]:
    shards = {shard.key: shard for shard in plan.shards}
    done = {key: output for key, output in there.items() if key in shards}
    missing = shards.keys() - done.keys()
    for receipt in find_receipts(folder, missing) if missing else ():
        output = receipt.output(shards[receipt.key])
        if _files_exist(output, present):
            done[receipt.key] = output
    return done


def _files_exist(output: Output, present: Container[str]) -> bool:
    return all(file is None or file.path in present for file in (output.data, output.quarantine))
