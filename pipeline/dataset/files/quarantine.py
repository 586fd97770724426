"""Quarantine files: JSON Lines, one record per missing row.

They are no Parquet, so that a glob over all Parquet files of a dataset folder finds rows and nothing else. Earlier
versions of hardset wrote Parquet; what they wrote stays where it is, and is read as before.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.schemas.errors import RunError
from hardset.schemas.rows.contract import QUARANTINE_SCHEMA

SUFFIX = ".jsonl"


def encode_quarantine(records: Sequence[Mapping[str, Any]]) -> bytes:
    """A quarantine file of records keyed by columns of `QUARANTINE_SCHEMA`; those that are left out are null.

    Equal records give equal bytes. Raises RunError for no records or unknown keys.
    """
    if not records:
        raise RunError("quarantine: no records to encode; there are no empty files")
    unknown = sorted(set().union(*records) - set(QUARANTINE_SCHEMA.names))
    if unknown:
        raise RunError(f"quarantine records hold keys that the contract does not have: {', '.join(unknown)}")
    table = pa.Table.from_pylist([dict(r) for r in records], schema=QUARANTINE_SCHEMA)
    # Control characters in names and messages reach a terminal as escapes only.
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


def quarantine_table(path: str, data: bytes) -> pa.Table:
    """The records of a quarantine file, of this or an earlier version; `path` says which by its ending.

    A table of an earlier version has the schema that the file has. Raises ValueError, pa.ArrowException or OSError
    where the file cannot be read.
    """
    if not path.endswith(SUFFIX):
        return pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
    rows = [json.loads(line) for line in data.splitlines()]
    names = QUARANTINE_SCHEMA.names
    if strange := [at for at, row in enumerate(rows, 1) if not isinstance(row, dict) or list(row) != names]:
        raise ValueError(f"line {strange[0]} has other keys than quarantine records")
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def quarantined(data: bytes) -> int:
    """Number of records in a file of `encode_quarantine`."""
    return data.count(b"\n")
