"""The audit of a dataset: files against manifest, rows against contract, and rows judged again from the source."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.audit.record_checks import record_faults
from hardset.pipeline.audit.replay import chosen_manifest, plan_of
from hardset.pipeline.audit.row_checks import Expected, Fault, row_faults
from hardset.pipeline.audit.source_checks import source_faults
from hardset.pipeline.audit.trust import NO_TRUST, Trust, UntrustedError
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.files.parquet import read_footer
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.judging.judge import distances, verdict, within_budget
from hardset.pipeline.judging.masking import signal_faults
from hardset.pipeline.judging.transfer import transfer_faults, transfer_of
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import content_sha256, sha256_hex
from hardset.schemas.errors import UserError
from hardset.schemas.norms import norm_of
from hardset.schemas.records.run import DataFile, Manifest, Output
from hardset.schemas.rows.contract import ADVERSARIAL, QUARANTINE_SCHEMA, arrow_schema
from hardset.schemas.rows.success import succeeded

_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""Errors that pyarrow raises for broken files."""
MARGIN_TOLERANCE = 1e-3
"""Accepted difference of margins, absolute or relative, between devices and thread counts; a verdict that close to zero
is not called false."""


@dataclass
class Findings:
    """Findings of an audit: what it looked at, and every fault."""

    files: int = 0
    rows: int = 0
    rejudged: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences on what was not looked at, and what to bring for it."""

    def add(self, where: str, what: str) -> None:
        """Notes a fault."""
        self.faults.append(f"{where}: {what}")


def verify(folder: Folder, *, sample: int | None = 1000, trust: Trust = NO_TRUST, run: str | None = None) -> Findings:
    """Audits the run in `folder` whose id starts with `run`, by default the newest.

    `sample`: rows to judge again; None for all, 0 for none. `trust`: what the operator brings; where the records alone
    name code or files, no row is judged again, and a note says so. With `trust.source` all rows are held against the
    source there. Raises JobError where there is no such run, RunError where its manifest cannot be believed.
    """
    manifest, findings = chosen_manifest(folder, run), Findings()
    for where, what in record_faults(folder, manifest):
        findings.add(where, what)
    seen, workers = _Seen(folder), _Workers(folder, trust)
    budget = _Budget(sample, manifest.totals.rows_out)
    for output in manifest.outputs:
        _check_quarantine(folder, output, findings)
        checked = _check_output(folder, manifest, output, findings)
        if checked is not None:
            table, sound = checked
            seen.add(table, output)
            _judge_again(workers, output, table.take(budget.chosen(table["row_id"].to_pylist(), sound)), findings)
    for where, what in seen.twice():
        findings.add(where, what)
    sources = partial(trust.source_of, folder=folder)
    for where, what in source_faults(folder, manifest, sources) if trust.source is not None else ():
        findings.add(where, what)
    return findings


@dataclass(frozen=True)
class _Seen:
    """Row ids of a dataset, 8 bytes each, so that millions fit in memory."""

    folder: Folder
    _found: list[tuple[str, NDArray[np.uint64]]] = field(default_factory=list)

    def add(self, table: pa.Table, output: Output) -> None:
        """Notes the ids of a file."""
        assert output.data is not None
        self._found.append((output.data.path, _short(table["row_id"].to_pylist())))

    def twice(self) -> Iterator[tuple[str, str]]:
        """Rows whose id is not unique: file and row, and where else it is."""
        every = [ids for _, ids in self._found]
        short, times = np.unique(np.concatenate(every) if every else np.zeros(0, np.uint64), return_counts=True)
        suspects = short[times > 1]
        places: dict[str, list[str]] = {}
        for path, ids in self._found:
            if len(suspects) and np.isin(ids, suspects).any():
                names = pq.read_table(io.BytesIO(self.folder.read(path)), columns=["row_id"])["row_id"].to_pylist()
                for i in map(int, np.flatnonzero(np.isin(ids, suspects))):
                    places.setdefault(names[i], []).append(path)
        for row, paths in places.items():
            if len(paths) > 1:
                others = " and ".join(sorted({*paths[1:]}))
                yield f"{paths[0]} row {row}", f"its row id appears {len(paths)} times, also in {others}"


def _short(ids: list[str | None]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b((row or "").encode(), digest_size=8).digest() for row in ids)
    return np.frombuffer(b"".join(digests), np.uint64)


@dataclass(frozen=True)
class _Workers:
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


@dataclass(frozen=True)
class _Budget:
    """Number of rows to judge again, spread evenly over row ids, which are hashes."""

    sample: int | None
    rows: int

    def chosen(self, ids: list[str], sound: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the chosen rows among the `sound` ones."""
        if self.sample is None or self.sample >= self.rows:
            return sound
        share = self.sample / max(1, self.rows)
        return np.asarray([i for i in sound.tolist() if int(ids[i][:8], 16) < share * 2**32], np.int64)


def _check_quarantine(folder: Folder, output: Output, findings: Findings) -> None:
    if output.quarantine is None:
        if output.counts.quarantined:
            findings.add(f"shard {output.index}", "has quarantined rows but no quarantine file")
        return
    path, data = output.quarantine.path, _read(folder, output.quarantine, findings)
    if data is None:
        return
    table = _table(path, data, findings)
    if table is None:
        return
    if not table.schema.equals(QUARANTINE_SCHEMA):
        findings.add(path, "has another schema than quarantine files")
    if table.num_rows != output.counts.quarantined:
        findings.add(path, f"holds {table.num_rows} rows; the manifest says {output.counts.quarantined}")


def _check_output(
    folder: Folder, manifest: Manifest, output: Output, findings: Findings
) -> tuple[pa.Table, NDArray[np.int64]] | None:
    """The table of a data file and the positions of its rows without fault; None where there is no such table."""
    if output.data is None:
        if output.counts.rows_out:
            findings.add(f"shard {output.index}", f"has no data file, but {output.counts.rows_out} rows are counted")
        return None
    path, data = output.data.path, _read(folder, output.data, findings)
    if data is None:
        return None
    table = _table(path, data, findings)
    if table is None:
        return None
    findings.files += 1
    if not table.schema.equals(arrow_schema(manifest.classes, manifest.contract)):
        findings.add(path, f"has another schema than row contract {manifest.contract}")
        return None
    findings.rows += table.num_rows
    if table.num_rows != output.counts.rows_out:
        findings.add(path, f"holds {table.num_rows} rows; the manifest says {output.counts.rows_out}")
    bad = set()
    for at, fault in _faults(data, table, manifest, output):
        findings.add(path if at is None else f"{path} row {table['row_id'][at].as_py() or at}", fault)
        bad.add(at)
    return table, np.asarray([i for i in range(table.num_rows) if i not in bad], np.int64)


def _faults(data: bytes, table: pa.Table, manifest: Manifest, output: Output) -> Iterator[Fault]:
    footer = read_footer(data)
    said = (("shard_key", output.key), ("run_id", output.run_id), ("contract", manifest.contract))
    for name, wanted in said:
        if footer.get(name, wanted) != wanted:
            yield None, f"its footer says {name} {footer[name]}; the manifest has {wanted}"
    pairs = zip(table["row_id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True)
    if content_sha256((row or "", image or "") for row, image in pairs) != output.content_sha256:
        yield None, "its rows are not those the manifest was written for"
    expected = Expected(
        output, manifest.image, len(manifest.classes), manifest.job["seed"], manifest.recipes, manifest.contract
    )
    found = list(row_faults(table, expected))
    yield from found
    if not found and "flags" in table.column_names:  # contract 1.0 knew no signals
        yield from signal_faults(table, output.counts)


def _read(folder: Folder, file: DataFile, findings: Findings) -> bytes | None:
    try:
        data = folder.read(file.path)
    except (OSError, UserError):
        findings.add(file.path, "is missing")
        return None
    if sha256_hex(data) != file.sha256 or len(data) != file.bytes:
        findings.add(file.path, "its SHA-256 is not the one in the manifest")
    return data


def _table(path: str, data: bytes, findings: Findings) -> pa.Table | None:
    try:
        # Not read_table, which takes milliseconds more for each file.
        return pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
    except _UNREADABLE as error:
        findings.add(path, f"cannot be read: {_told(error)}")
        return None


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _judge_again(workers: _Workers, output: Output, table: pa.Table, findings: Findings) -> None:
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
            output.data.path, f"its rows cannot be judged again, as their source cannot be read: {_told(error)}"
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
        told = ((l2[i], row["l2"]), (l1[i], row.get("l1", l1[i])))  # rows of contract 1.0 have no l1
        if levels[i] != row["linf_levels"] or any(abs(a - b) > 1e-5 * max(1.0, a) for a, b in told):
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
