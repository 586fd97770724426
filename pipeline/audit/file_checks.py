"""Checks of the files of a shard: digests, schema, footer, and the rows that they hold."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.audit.expected import Expected
from hardset.pipeline.audit.findings import Findings
from hardset.pipeline.audit.place_checks import coverage_faults, quarantine_faults
from hardset.pipeline.audit.row_checks import Fault, row_faults
from hardset.pipeline.dataset.files.parquet import read_footer
from hardset.pipeline.dataset.files.quarantine import quarantine_table
from hardset.pipeline.judging.masking import signal_faults
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import content_sha256, sha256_hex
from hardset.schemas.errors import RunError, UserError, one_line
from hardset.schemas.records.run import DataFile, Manifest
from hardset.schemas.rows.contract import QUARANTINE_SCHEMA, arrow_schema, huggingface_features
from hardset.schemas.rows.user_columns import recorded_columns

_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""Errors that pyarrow raises for broken files."""


def check_shard(
    folder: Folder, manifest: Manifest, expected: Expected, findings: Findings
) -> tuple[pa.Table, NDArray[np.int64]] | None:
    """Looks at the files of a shard, and notes their faults.

    Returns the table of its rows and the positions of those without fault; None where there is no such table.
    """
    lost = _quarantine(folder, expected, findings)
    found = _rows(folder, manifest, expected, findings)
    if expected.output.data is None or found is not None:
        whole = lost is not None or expected.output.quarantine is None
        for fault in coverage_faults(found and found[0], lost, expected) if whole else ():
            findings.add(f"shard {expected.output.index}", fault)
    return found


def _quarantine(folder: Folder, expected: Expected, findings: Findings) -> pa.Table | None:
    output = expected.output
    if output.quarantine is None:
        if output.counts.quarantined:
            findings.add(f"shard {output.index}", "has quarantined rows but no quarantine file")
        return None
    path, data = output.quarantine.path, _read(folder, output.quarantine, findings)
    if data is None:
        return None
    try:
        table = quarantine_table(path, data)
    except _UNREADABLE as error:
        findings.add(path, f"cannot be read: {one_line(error, 200)}")
        return None
    if not table.schema.equals(QUARANTINE_SCHEMA):
        findings.add(path, "has another schema than quarantine files")
        return None
    if table.num_rows != output.counts.quarantined:
        findings.add(path, f"holds {table.num_rows} rows; the manifest says {output.counts.quarantined}")
    for at, fault in quarantine_faults(table, expected):
        findings.add(path if at is None else f"{path} row {at}", fault)
    return table


def _rows(
    folder: Folder, manifest: Manifest, expected: Expected, findings: Findings
) -> tuple[pa.Table, NDArray[np.int64]] | None:
    output = expected.output
    if output.data is None:
        if output.counts.rows_out:
            findings.add(f"shard {output.index}", f"has no data file, but {output.counts.rows_out} rows are counted")
        return None
    path, data = output.data.path, _read(folder, output.data, findings)
    table = None if data is None else _table(path, data, findings)
    if data is None or table is None:
        return None
    findings.files += 1
    user = recorded_columns(manifest.user_columns)
    if not table.schema.equals(arrow_schema(manifest.classes, manifest.contract, user)):
        findings.add(path, f"has another schema than row contract {manifest.contract}")
        return None
    findings.rows += table.num_rows
    if table.num_rows != output.counts.rows_out:
        findings.add(path, f"holds {table.num_rows} rows; the manifest says {output.counts.rows_out}")
    bad = set()
    for at, fault in _faults(data, table, manifest, expected):
        findings.add(path if at is None else f"{path} row {table['row_id'][at].as_py() or at}", fault)
        bad.add(at)
    return table, np.asarray([i for i in range(table.num_rows) if i not in bad], np.int64)


def _faults(data: bytes, table: pa.Table, manifest: Manifest, expected: Expected) -> Iterator[Fault]:
    output = expected.output
    yield from ((None, fault) for fault in _footer_faults(data, table, manifest, expected))
    pairs = zip(table["row_id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True)
    if content_sha256((row or "", image or "") for row, image in pairs) != output.content_sha256:
        yield None, "its rows are not those the manifest was written for"
    found = list(row_faults(table, expected))
    yield from found
    if not found and "flags" in table.column_names:  # contract 1.0 knew no signals
        yield from signal_faults(table, output.counts)


def _footer_faults(data: bytes, table: pa.Table, manifest: Manifest, expected: Expected) -> Iterator[str]:
    """What explains a lone file, held against the records."""
    try:
        footer = read_footer(data)
    except RunError as error:
        yield f"is {error}"
        return
    output, claims = expected.output, expected.claims
    said = {
        "shard_key": output.key,
        "run_id": output.run_id,
        "contract": manifest.contract,
        "rows": table.num_rows,
        "content_sha256": output.content_sha256,
    }
    if output.run_id == manifest.run_id:  # an earlier run may have had other models beside those of the shard
        said["models"] = manifest.models
    if claims is not None:
        said |= {"recipes": {claims.recipe_id: manifest.recipes[claims.recipe_id]}}
        said |= {"verify_id": claims.shared["verify_id"]}
    for name, wanted in said.items():
        if footer.get(name, wanted) != wanted:
            shown = f" {footer[name]}; the manifest has {wanted}" if isinstance(wanted, str | int) else ""
            yield f"its footer says {name}{shown}" if shown else f"its footer has other {name} than the manifest"
    features = huggingface_features(manifest.classes, manifest.contract, recorded_columns(manifest.user_columns))
    if _features(table) != features:
        yield "its footer has other features, such as class names, than the manifest"


def _features(table: pa.Table) -> Any:
    try:
        return json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return None


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
        findings.add(path, f"cannot be read: {one_line(error, 200)}")
        return None
