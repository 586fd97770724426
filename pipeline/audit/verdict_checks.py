"""Checks of stored verdicts: adversarial rows are judged again, from the clean rows of their source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
        elif (source.labels[at], source.indices[at]) != (row["label"], row["source_index"]):
            told_of = f"label {source.labels[at]} and index {source.indices[at]}"
            findings.add(
                f"{output.data.path} row {row['row_id']}",
                f"its source row has {told_of}; it says {row['label']} and {row['source_index']}",
            )
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
    logits = [worker.judge.logits(pixels) for pixels in (clean, stored)]
    before, after = (verdict(found, labels) for found in logits)
    success = succeeded(before.pred, after.pred, labels, targets)
    clear = [_is_clear(found) for found in logits]
    for i, row in enumerate(rows):
        where = f"{path} row {row['row_id']}"
        if not inside[i]:
            findings.add(
                where, f"is outside its budget: {levels[i]} levels, L2 {l2[i]:.4f}, L1 {l1[i]:.4f}, eps {eps[i]:.6g}"
            )
        norms = ((l2[i], row["l2"]), (l1[i], row.get("l1", l1[i])))  # rows of contract 1.0 have no l1
        if levels[i] != row["linf_levels"] or any(abs(a - b) > 1e-5 * max(1.0, a) for a, b in norms):
            findings.add(where, "its stored distances are not those of its pixels")
        false = list(_false_values(row, {"clean_margin": before.margin[i], "margin": after.margin[i]}))
        false += _false_values(row, {"confidence": after.confidence[i]})
        preds = (("clean_pred", before.pred[i], clear[0][i]), ("pred", after.pred[i], clear[1][i]))
        false += [(name, int(pred), row[name]) for name, pred, is_clear in preds if is_clear and pred != row[name]]
        if not false and success[i] != row["success"] and abs(after.margin[i]) > MARGIN_TOLERANCE:
            false.append(("success", bool(success[i]), row["success"]))
        for name, now, then in false:
            findings.add(where, f"{name} is {_shown(now)} when judged again, {_shown(then)} as stored")
    every = np.arange(len(rows))
    transfer = transfer_of(worker.held_out, stored, clean, parents=every, labels=labels, targets=targets)
    for i, what in transfer_faults(transfer, rows, MARGIN_TOLERANCE):
        findings.add(f"{path} row {rows[i]['row_id']}", what)
    findings.rejudged += len(rows)


def _is_clear(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the largest logit (N, K) stands out, so that no rounding makes another class of it."""
    two = np.sort(logits, axis=1)[:, -2:]
    clear: NDArray[np.bool_] = two[:, 1] - two[:, 0] > MARGIN_TOLERANCE * np.maximum(1.0, np.abs(two[:, 1]))
    return clear


def _false_values(row: Mapping[str, Any], found: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """Column, value found and value stored, where these differ by more than rounding; older rows lack some columns."""
    for name, now in found.items():
        then = row.get(name)
        if then is not None and not abs(now - then) <= MARGIN_TOLERANCE * max(1.0, abs(then)):
            yield name, float(now), float(then)


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
