"""Checks of stored verdicts: adversarial rows are judged again, from the clean rows of their source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from hardset.pipeline.audit.findings import Findings, told
from hardset.pipeline.audit.replay import plan_of
from hardset.pipeline.audit.trust import Trust, UntrustedError
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.judging.judge import distances, verdict, within_budget
from hardset.pipeline.judging.transfer import transfer_faults, transfer_of
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError
from hardset.schemas.norms import norm_of
from hardset.schemas.records.run import Output
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.success import succeeded

MARGIN_TOLERANCE = 1e-3
"""Accepted difference of margins, absolute or relative, between devices and thread counts; a verdict that close to zero
is not called false."""


@dataclass(frozen=True)
class RunWorkers:
    """Workers that judge rows as they were made, one per run."""

    folder: Folder
    trust: Trust
    _built: dict[str, Worker | None] = field(default_factory=dict)

    def of(self, run_id: str, findings: Findings) -> Worker | None:
        """The worker of a run; None where it would run code, or open files, that the records alone name."""
        if run_id not in self._built:
            plan = plan_of(self.folder, run_id)
            try:
                job = self.trust.job_of(plan, self.folder)
            except UntrustedError as refusal:
                findings.notes.append(f"no row was judged again: {refusal}")
                self._built[run_id] = None
            else:
                self._built[run_id] = Worker(job, plan, driver_device(job.run))
        return self._built[run_id]


def judge_again(workers: RunWorkers, output: Output, table: pa.Table, findings: Findings) -> None:
    """Judges the rows of `table` again, of the file of `output`; not those whose source is known to be gone."""
    if output.kept or not table.num_rows or table["kind"][0].as_py() != ADVERSARIAL:
        return
    assert output.data is not None
    worker = workers.of(output.run_id, findings)
    if worker is None:
        return
    rows = table.to_pylist()
    clean = _clean_rows(worker, output, rows, findings)
    kept = [row for row in rows if row["row_id"] in clean]
    if kept:
        _compare(output.data.path, worker, kept, np.stack([clean[row["row_id"]] for row in kept]), findings)


def _clean_rows(
    worker: Worker, output: Output, rows: list[dict[str, Any]], findings: Findings
) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Clean pixels by row id, for rows whose source is still what it was."""
    plan = worker.plan
    shard = next(shard for shard in plan.shards if shard.key == output.key)
    assert shard.range is not None
    assert output.data is not None
    try:
        source, _ = worker.source.read(plan.ranges[shard.range], plan.image, len(plan.classes))
    except (UserError, OSError) as error:
        findings.add(
            output.data.path, f"its rows cannot be judged again, as their source cannot be read: {told(error)}"
        )
        return {}
    place = {key: i for i, key in enumerate(source.keys)}
    clean = {}
    for row in rows:
        at = place.get(row["source_key"])
        if at is None or source.sha256[at] != row["source_sha256"]:
            where = f"{output.data.path} row {row['row_id']}"
            findings.add(where, f"its source row {row['source_key']} is gone or has changed")
        else:
            clean[row["row_id"]] = source.pixels[at]
    return clean


def _compare(path: str, worker: Worker, rows: list[dict[str, Any]], clean: Any, findings: Findings) -> None:
    stored = np.stack([decode_png(row["image"]["bytes"]) for row in rows])
    labels = np.asarray([row["label"] for row in rows], np.int64)
    levels, l2, l1 = distances(stored, clean)
    eps = np.asarray([row["eps"] for row in rows], np.float64)
    inside = within_budget(stored, clean, norm_of(rows[0]["norm"]), eps)
    targets = None
    if rows[0]["target_label"] is not None:
        targets = np.asarray([row["target_label"] for row in rows], np.int64)
    assert worker.judge is not None
    before, after = (verdict(worker.judge.logits(pixels), labels) for pixels in (clean, stored))
    success = succeeded(before.pred, after.pred, labels, targets)
    for i, row in enumerate(rows):
        where = f"{path} row {row['row_id']}"
        if not inside[i]:
            findings.add(
                where, f"is outside its budget: {levels[i]} levels, L2 {l2[i]:.4f}, L1 {l1[i]:.4f}, eps {eps[i]:.6g}"
            )
        norms = ((l2[i], row["l2"]), (l1[i], row.get("l1", l1[i])))  # rows of contract 1.0 have no l1
        if levels[i] != row["linf_levels"] or any(abs(a - b) > 1e-5 * max(1.0, a) for a, b in norms):
            findings.add(where, "its stored distances are not those of its pixels")
        if abs(after.margin[i] - row["margin"]) > MARGIN_TOLERANCE * max(1.0, abs(row["margin"])):
            findings.add(where, f"margin is {after.margin[i]:.4f} when judged again, {row['margin']:.4f} as stored")
        elif success[i] != row["success"] and abs(after.margin[i]) > MARGIN_TOLERANCE:
            findings.add(where, f"success is {bool(success[i])} when judged again, {row['success']} as stored")
    every = np.arange(len(rows))
    transfer = transfer_of(worker.held_out, stored, clean, parents=every, labels=labels, targets=targets)
    for i, what in transfer_faults(transfer, rows, MARGIN_TOLERANCE):
        findings.add(f"{path} row {rows[i]['row_id']}", what)
    findings.rejudged += len(rows)
