"""`hardset status`: how far the runs of a dataset are, from storage alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from jobs.console import AsJson, OutputFolder, console, give, say
from pipeline.signals import run_warnings
from pipeline.sinks.ledger import Ledger, run_ids
from pipeline.storage import Folder
from schemas.errors import JobError
from schemas.records import Plan, Receipt


def status(out: OutputFolder, as_json: AsJson = False) -> None:
    """Show every run in OUT: its state, shards, rows and success.

    Reads plans, receipts and manifests, also while a run is going on; writes nothing. Returns 0.
    """
    folder = Folder(out)
    runs = [run_state(folder, run) for run in run_ids(folder)]
    if not runs:
        raise JobError(f"{folder.name}: no run here; `hardset generate JOB` makes one")
    table = Table("run", "job", "state", "shards", "rows", "success", "quarantined", box=None, header_style="bold")
    for run in runs:
        success = f"{run['success'] / run['attacked']:.1%}" if run["attacked"] else "-"
        shards = f"{run['shards_done']:,} of {run['shards']:,}"
        row = (run["run_id"], run["job"], run["state"], shards, f"{run['rows']:,}", success, f"{run['quarantined']:,}")
        table.add_row(*row)
    console.print(table)
    for run in runs:
        for warning in run["warnings"]:
            say(f"Warning: run {run['run_id'][:8]}: {warning}")
    give({"runs": runs}, as_json=as_json)


def run_state(folder: Folder, run_id: str) -> dict[str, Any]:
    """Figures of one run: from its manifest, or while there is none from its receipts."""
    ledger = Ledger(folder, run_id)
    plan, manifest = ledger.plan(), ledger.manifest()
    receipts = {} if manifest else ledger.receipts()
    parts = manifest.outputs if manifest else tuple(receipts.values())
    return {
        "run_id": run_id,
        "job": plan.job["name"] if plan else "?",
        "state": manifest.status if manifest else "not finished",
        "shards": len(plan.shards) if plan else 0,
        "shards_done": len(parts),
        "rows": sum(part.counts.rows_out for part in parts),
        "attacked": sum(part.counts.attacked for part in parts),
        "success": sum(part.counts.success for part in parts),
        "quarantined": sum(part.counts.quarantined for part in parts),
        "failed_shards": len(manifest.failures) if manifest else 0,
        "warnings": list(manifest.warnings if manifest else _warnings_so_far(plan, receipts)),
    }


def _warnings_so_far(plan: Plan | None, receipts: Mapping[str, Receipt]) -> tuple[str, ...]:
    if plan is None:
        return ()
    outputs = [receipts[shard.key].output(shard) for shard in plan.shards if shard.key in receipts]
    return run_warnings(plan.job["recipes"], outputs)
