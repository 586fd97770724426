"""The audit of a dataset: files against manifest, rows against contract, and rows judged again from the source."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.audit.findings import Findings, told
from hardset.pipeline.audit.record_checks import record_faults
from hardset.pipeline.audit.replay import chosen_manifest
from hardset.pipeline.audit.row_checks import Expected, Fault, row_faults
from hardset.pipeline.audit.source_checks import source_faults
from hardset.pipeline.audit.trust import NO_TRUST, Trust
from hardset.pipeline.audit.verdict_checks import RunWorkers, judge_again
from hardset.pipeline.dataset.files.parquet import read_footer
from hardset.pipeline.dataset.files.quarantine import quarantine_table
from hardset.pipeline.judging.masking import signal_faults
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import content_sha256, sha256_hex
from hardset.schemas.errors import UserError
from hardset.schemas.records.run import DataFile, Manifest, Output
from hardset.schemas.rows.contract import QUARANTINE_SCHEMA, arrow_schema

_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""Errors that pyarrow raises for broken files."""


def verify(folder: Folder, *, sample: int | None = 1000, trust: Trust = NO_TRUST, run: str | None = None) -> Findings:
    """Audits the run in `folder` whose id starts with `run`, by default the newest.

    `sample`: rows to judge again; None for all, 0 for none. `trust`: what the operator brings; where the records alone
    name code or files, no row is judged again, and a note says so. With `trust.source` all rows are held against the
    source there. Raises JobError where there is no such run, RunError where its manifest cannot be believed.
    """
    manifest, findings = chosen_manifest(folder, run), Findings()
    for where, what in record_faults(folder, manifest):
        findings.add(where, what)
    seen, workers = _RowIds(folder), RunWorkers(folder, trust)
    budget = _Budget(sample, manifest.totals.rows_out)
    for output in manifest.outputs:
        _check_quarantine(folder, output, findings)
        checked = _check_output(folder, manifest, output, findings)
        if checked is not None:
            table, sound = checked
            seen.add(table, output)
            judge_again(workers, output, table.take(budget.chosen(table["row_id"].to_pylist(), sound)), findings)
    for where, what in seen.twice():
        findings.add(where, what)
    sources = partial(trust.source_of, folder=folder)
    for where, what in source_faults(folder, manifest, sources) if trust.source is not None else ():
        findings.add(where, what)
    return findings


@dataclass(frozen=True)
class _RowIds:
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
    try:
        table = quarantine_table(path, data)
    except _UNREADABLE as error:
        findings.add(path, f"cannot be read: {told(error)}")
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
        findings.add(path, f"cannot be read: {told(error)}")
        return None
