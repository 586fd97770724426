"""Checks of stored verdicts: rows are judged again, adversarial ones beside the clean rows of their source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardset.pipeline.audit.findings import Findings
from hardset.pipeline.audit.replay import plan_of
from hardset.pipeline.audit.trust import Trust, UntrustedError
from hardset.pipeline.audit.verdicts import Judged, attack_faults, distance_faults, least_likely_faults, stored_faults
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.base import unfixed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError, one_line
from hardset.schemas.job.recipes import Attack
from hardset.schemas.records.run import Output, Shard
from hardset.schemas.rows.contract import ADVERSARIAL

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class RunWorkers:
    """Workers that judge and make rows as they were made, one per run."""

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
                worker = Worker(job, plan, driver_device(job.run), threads=job.run.cpus_per_actor)
                self._built[run_id] = worker if self._has_judges(worker, findings) else None
        return self._built[run_id]

    def _has_judges(self, worker: Worker, findings: Findings) -> bool:
        """Whether the models can be loaded. Raises UserError where they cannot and the operator's job names them."""
        try:
            _ = worker.judge, worker.held_out
        except UserError as error:
            if self.trust.job is not None:
                raise
            findings.add(f"run {worker.plan.run_id[:8]}", f"its rows cannot be judged again: {one_line(error, 200)}")
            return False
        return True


def judge_again(workers: RunWorkers, output: Output, table: pa.Table, findings: Findings) -> None:
    """Judges the rows of `table` again, of the file of `output`; not those whose source is known to be gone."""
    worker = workers.of(output.run_id, findings)
    if worker is None or worker.job.model is None or not table.num_rows:
        return
    assert output.data is not None
    rows = table.to_pylist()
    if rows[0]["kind"] == ADVERSARIAL and not output.kept:
        clean = _clean_rows(worker, output, rows, findings)
        rows = [row for row in rows if row["row_id"] in clean]
        if rows:
            _judge(worker, output, rows, np.stack([clean[row["row_id"]] for row in rows]), findings)
    else:
        _judge(worker, output, rows, None, findings)


def _judge(worker: Worker, output: Output, rows: Rows, clean: NDArray[np.uint8] | None, findings: Findings) -> None:
    stored = np.stack([decode_png(row["image"]["bytes"]) for row in rows])
    judge = worker.judge
    assert judge is not None
    assert output.data is not None
    judged = Judged(rows, stored, judge.logits(stored), clean, None if clean is None else judge.logits(clean))
    false = list(stored_faults(judged))
    if clean is not None:
        false += distance_faults(judged)
        false += attack_faults(judged, worker.held_out)
        recipe = worker.recipes[_shard(worker, output).recipe]
        if isinstance(recipe, Attack) and recipe.target == "least_likely":
            false += least_likely_faults(judged)
    for at, what in false:
        findings.add(f"{output.data.path} row {rows[at]['row_id']}", what)
    findings.rejudged += len(rows)


def _shard(worker: Worker, output: Output) -> Shard:
    return next(shard for shard in worker.plan.shards if shard.key == output.key)


def _clean_rows(
    worker: Worker, output: Output, rows: Rows, findings: Findings
) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Clean pixels by row id, for rows whose source is still what it was."""
    plan, shard = worker.plan, _shard(worker, output)
    assert shard.range is not None
    assert output.data is not None
    try:
        source, _ = worker.source.read(unfixed(plan.ranges[shard.range]), plan.image, len(plan.classes))
    except (UserError, OSError) as error:
        findings.add(
            output.data.path, f"its rows cannot be judged again, as their source cannot be read: {one_line(error, 200)}"
        )
        return {}
    place = {key: i for i, key in enumerate(source.keys)}
    clean = {}
    for row in rows:
        at, where = place.get(row["source_key"]), f"{output.data.path} row {row['row_id']}"
        if at is None or source.sha256[at] != row["source_sha256"]:
            findings.add(where, f"its source row {row['source_key']} is gone or has changed")
        elif (source.labels[at], source.indices[at]) != (row["label"], row["source_index"]):
            told_of = f"label {source.labels[at]} and index {source.indices[at]}"
            findings.add(where, f"its source row has {told_of}; it says {row['label']} and {row['source_index']}")
        else:
            clean[row["row_id"]] = source.pixels[at]
    return clean
