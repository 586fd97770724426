"""What a job asks for, and what of it its output holds already."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.plan import make_plan
from pipeline.sinks.ledger import Ledger, manifests
from pipeline.storage import Folder
from schemas.job import Job
from schemas.records import Manifest, Output, Plan


@dataclass(frozen=True)
class State:
    """A plan and what of it is committed already."""

    plan: Plan
    folder: Folder
    done: dict[str, Output]
    """By shard key."""
    manifest: Manifest | None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self.manifest is not None
            and self.manifest.status == "complete"
            and all(shard.key in self.done for shard in self.plan.shards)
        )


def look(job: Job) -> State:
    """The plan of `job` and what its output holds of it; writes nothing."""
    plan, folder = make_plan(job), Folder(job.output.path)
    ledger = Ledger(folder, plan.run_id)
    present = set(folder.list("data")) | set(folder.list("quarantine"))
    done = {
        output.key: output
        for manifest in manifests(folder)
        for output in manifest.outputs
        if _files_exist(output, present)
    }
    for key, receipt in ledger.receipts().items():
        output = receipt.output(plan.shards[receipt.index])
        if _files_exist(output, present):
            done[key] = output
    return State(plan, folder, done, ledger.manifest())


def _files_exist(output: Output, present: set[str]) -> bool:
    return all(file is None or file.path in present for file in (output.data, output.quarantine))
