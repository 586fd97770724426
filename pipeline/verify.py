"""The audit of a dataset: files against manifest, rows against contract, and rows judged again from the source."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.bench import Bench
from pipeline.devices import driver_device
from pipeline.judge import distances, succeeded, verdict, within_budget
from pipeline.replay import newest_manifest, plan_of
from pipeline.signals import signal_faults
from pipeline.sinks.png import decode_png
from pipeline.sinks.statement import statement_faults, statement_path
from pipeline.storage import Folder
from pipeline.transfer import transfer_faults, transfer_of
from schemas.digests import content_sha256, image_sha256, sha256_hex
from schemas.errors import UserError
from schemas.job import Job
from schemas.records import DataFile, Manifest, Output
from schemas.rows import ADVERSARIAL, COLUMNS, KINDS, arrow_schema

MARGIN_TOLERANCE = 1e-3
"""Logits may differ by this between devices and thread counts; a verdict that close to zero is not called false."""


@dataclass
class Findings:
    """What an audit looked at, and every fault it found."""

    files: int = 0
    rows: int = 0
    rejudged: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """Notes a fault."""
        self.faults.append(f"{where}: {what}")


def verify(folder: Folder, *, sample: int | None = 1000) -> Findings:
    """Audits the newest run in `folder`. `sample`: rows to judge again; None for all, 0 for none."""
    manifest, findings = newest_manifest(folder), Findings()
    _check_listing(folder, manifest, findings)
    seen: Counter[str] = Counter()
    benches = _Benches(folder)
    budget = _Budget(sample, manifest.totals.rows_out)
    for output in manifest.outputs:
        for table in _check_output(folder, manifest, output, findings, seen):
            _judge_again(benches, output, table, budget, findings)
    for row, times in seen.items():
        if times > 1:
            findings.add(row, f"row id appears {times} times")
    _check_totals(manifest, findings)
    for fault in statement_faults(folder, manifest):
        findings.add(statement_path(manifest.run_id), fault)
    return findings


@dataclass(frozen=True)
class _Benches:
    """The tools that made each run's shards, built once per run."""

    folder: Folder
    _built: dict[str, Bench] = field(default_factory=dict)

    def of(self, run_id: str) -> Bench:
        """The bench of a run."""
        if run_id not in self._built:
            plan = plan_of(self.folder, run_id)
            job = Job.model_validate(plan.job)
            self._built[run_id] = Bench(job, plan, driver_device(job))
        return self._built[run_id]


@dataclass(frozen=True)
class _Budget:
    """Which rows are judged again: spread evenly over row ids, which are hashes."""

    sample: int | None
    rows: int

    def chosen(self, ids: list[str]) -> list[int]:
        """Positions of the chosen rows."""
        if self.sample is None or self.sample >= self.rows:
            return list(range(len(ids)))
        share = self.sample / max(1, self.rows)
        return [i for i, row in enumerate(ids) if int(row[:8], 16) < share * 2**32]


def _check_listing(folder: Folder, manifest: Manifest, findings: Findings) -> None:
    runs = {output.run_id[:8] for output in manifest.outputs}
    listed = {f.path for o in manifest.outputs for f in (o.data, o.quarantine) if f is not None}
    for path in (*folder.list("data"), *folder.list("quarantine")):
        run8 = path.split("/")[1][:8]
        if path not in listed and run8 == manifest.run_id[:8] and run8 in runs:
            findings.add(path, "no receipt lists this file")


def _check_output(
    folder: Folder, manifest: Manifest, output: Output, findings: Findings, seen: Counter[str]
) -> Iterator[pa.Table]:
    if output.quarantine is not None:
        data = _read(folder, output.quarantine, findings)
        if data is not None and pq.ParquetFile(io.BytesIO(data)).metadata.num_rows != output.counts.quarantined:
            findings.add(output.quarantine.path, "holds another number of rows than the manifest says")
    if output.data is None:
        return
    path, data = output.data.path, _read(folder, output.data, findings)
    if data is None:
        return
    try:
        table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        findings.add(path, f"cannot be read: {' '.join(str(error).split())[:200]}")
        return
    findings.files += 1
    if not table.schema.equals(arrow_schema(manifest.classes)):
        findings.add(path, "has another schema than the row contract")
        return
    if table.num_rows != output.counts.rows_out:
        findings.add(path, f"holds {table.num_rows} rows; the manifest says {output.counts.rows_out}")
    _check_rows(path, table, output, findings)
    for at, fault in signal_faults(table, output.counts):
        findings.add(path if at is None else f"{path} row {table['row_id'][at]}", fault)
    seen.update(table.column("row_id").to_pylist())
    findings.rows += table.num_rows
    yield table


def _read(folder: Folder, file: DataFile, findings: Findings) -> bytes | None:
    try:
        data = folder.read(file.path)
    except (OSError, UserError):
        findings.add(file.path, "is missing")
        return None
    if sha256_hex(data) != file.sha256:
        findings.add(file.path, "its SHA-256 is not the one in the manifest")
    return data


def _check_rows(path: str, table: pa.Table, output: Output, findings: Findings) -> None:
    kinds = table.column("kind").to_pylist()
    for column in COLUMNS:
        if column.name.endswith("pred") or column.name in ("margin", "confidence", "verify_id"):
            continue
        for i in map(int, np.flatnonzero(table.column(column.name).is_null().to_numpy())):
            if kinds[i] not in KINDS or column.required_of(kinds[i]):
                findings.add(f"{path} row {i}", f"{column.name} is empty")
    ids, digests = table.column("row_id").to_pylist(), table.column("image_sha256").to_pylist()
    for i, image in enumerate(table.column("image").to_pylist()):
        try:
            actual = image_sha256(decode_png(image["bytes"]))
        except (OSError, ValueError, SyntaxError) as error:
            findings.add(f"{path} row {ids[i]}", f"its image cannot be decoded: {error}")
            continue
        if actual != digests[i]:
            findings.add(f"{path} row {ids[i]}", "image_sha256 does not match the image")
    if content_sha256(zip(ids, digests, strict=True)) != output.content_sha256:
        findings.add(path, "its rows are not those the manifest was written for")


def _judge_again(benches: _Benches, output: Output, table: pa.Table, budget: _Budget, findings: Findings) -> None:
    chosen = budget.chosen(table.column("row_id").to_pylist())
    if not chosen or table.column("kind")[0].as_py() != ADVERSARIAL:
        return
    assert output.data is not None
    bench = benches.of(output.run_id)
    rows = table.take(chosen).to_pylist()
    clean = _clean_rows(bench, output, rows, findings)
    kept = [row for row in rows if row["row_id"] in clean]
    if kept:
        _compare(output.data.path, bench, kept, np.stack([clean[row["row_id"]] for row in kept]), findings)


def _clean_rows(
    bench: Bench, output: Output, rows: list[dict[str, Any]], findings: Findings
) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Clean pixels by row id, for rows whose source is still what it was."""
    plan = bench.plan
    shard = next(shard for shard in plan.shards if shard.key == output.key)
    assert shard.range is not None
    source, _ = bench.source.read(plan.ranges[shard.range], plan.image, len(plan.classes))
    place = {key: i for i, key in enumerate(source.keys)}
    clean = {}
    for row in rows:
        at = place.get(row["source_key"])
        if at is None or source.sha256[at] != row["source_sha256"]:
            findings.add(f"row {row['row_id']}", f"its source row {row['source_key']} is gone or has changed")
        else:
            clean[row["row_id"]] = source.pixels[at]
    return clean


def _compare(path: str, bench: Bench, rows: list[dict[str, Any]], clean: Any, findings: Findings) -> None:
    stored = np.stack([decode_png(row["image"]["bytes"]) for row in rows])
    labels = np.asarray([row["label"] for row in rows], np.int64)
    levels, l2, l1 = distances(stored, clean)
    eps = np.asarray([row["eps"] for row in rows], np.float64)
    inside = within_budget(stored, clean, rows[0]["norm"].lower(), eps)
    targets = None
    if rows[0]["target_label"] is not None:
        targets = np.asarray([row["target_label"] for row in rows], np.int64)
    assert bench.judge is not None
    before, after = (verdict(bench.judge.logits(pixels), labels) for pixels in (clean, stored))
    success = succeeded(before.pred, after.pred, labels, targets)
    for i, row in enumerate(rows):
        where = f"{path} row {row['row_id']}"
        if not inside[i]:
            findings.add(
                where, f"is outside its budget: {levels[i]} levels, L2 {l2[i]:.4f}, L1 {l1[i]:.4f}, eps {eps[i]:.6g}"
            )
        told = ((l2[i], row["l2"]), (l1[i], row.get("l1", l1[i])))  # rows of contract 1.0 have no l1
        if levels[i] != row["linf_levels"] or any(abs(a - b) > 1e-5 * max(1.0, a) for a, b in told):
            findings.add(where, "its stored distances are not those of its pixels")
        if abs(after.margin[i] - row["margin"]) > MARGIN_TOLERANCE * max(1.0, abs(row["margin"])):
            findings.add(where, f"margin is {after.margin[i]:.4f} when judged again, {row['margin']:.4f} as stored")
        elif success[i] != row["success"] and abs(after.margin[i]) > MARGIN_TOLERANCE:
            findings.add(where, f"success is {bool(success[i])} when judged again, {row['success']} as stored")
    every = np.arange(len(rows))
    transfer = transfer_of(bench.held_out, stored, clean, parents=every, labels=labels, targets=targets)
    for i, what in transfer_faults(transfer, rows, MARGIN_TOLERANCE):
        findings.add(f"{path} row {rows[i]['row_id']}", what)
    findings.rejudged += len(rows)


def _check_totals(manifest: Manifest, findings: Findings) -> None:
    for output in manifest.outputs:
        counts = output.counts
        if counts.expected != counts.rows_out + counts.quarantined + counts.dropped:
            findings.add(
                f"shard {output.index}", "rows in times variants is not rows out plus quarantined plus dropped"
            )
    if manifest.failures:
        findings.add("manifest", f"{len(manifest.failures)} shards failed; the run is incomplete")
