"""Quarantine files: text that anything reads, apart from the rows; those of earlier versions are read on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.files.quarantine import encode_quarantine, quarantine_table, quarantined
from hardset.pipeline.dataset.files.scan import UnreadableFileError, quarantine_records
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import QUARANTINE_SCHEMA
from tests.dataset.examples import finished_run, shard_of

RECORDS = [
    {"source_key": "a", "source_index": 3, "stage": "read", "error_class": "RowError", "message": "no\n\x1b[2J image"},
    {"source_key": "\u00e9t\u00e9\u2028", "variant": 1, "stage": "judge"},
]
OLDER = sorted(Path(__file__).parents[1].glob("contract_1_*/dataset"))


def test_records_come_back_and_equal_ones_give_equal_bytes() -> None:
    data = encode_quarantine(RECORDS)
    assert data == encode_quarantine(RECORDS)
    assert quarantined(data) == len(RECORDS)
    table = quarantine_table("x.jsonl", data)
    assert table.schema.equals(QUARANTINE_SCHEMA)
    assert [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()] == RECORDS
    assert b"\x1b" not in data, "what a terminal obeys"


@pytest.mark.parametrize(("wrong", "message"), [([], "no records"), ([{"reason": "x"}], "does not have: reason")])
def test_what_is_no_record_is_refused(wrong: list[dict[str, str]], message: str) -> None:
    with pytest.raises(RunError, match=message):
        encode_quarantine(wrong)


@pytest.mark.parametrize("content", [b"{", b"3\n", b'{"stage": "read"}\n', b"\xff\n", encode_quarantine(RECORDS)[:-9]])
def test_what_is_no_quarantine_file_is_noticed(content: bytes, disk: Folder) -> None:
    manifest = finished_run(disk, (shard_of(0),), lost=3)
    file = manifest.outputs[0].quarantine
    assert file is not None
    disk.write(file.path, content)
    with pytest.raises(UnreadableFileError, match=file.path):
        quarantine_records(disk, file)
    assert any(fault.startswith(f"{file.path}: cannot be read") for fault in verify(disk, sample=0).faults)


def test_strangers_read_them_in_a_line(disk: Folder) -> None:
    finished_run(disk, (shard_of(0), shard_of(1)), lost=2)
    files = f"{disk.place}/_hardset/quarantine/*.jsonl"
    assert duckdb.sql(f"SELECT source_key, stage FROM '{files}'").fetchall() == [("bad0", "read"), ("bad1", "read")]
    (file,) = disk.list("_hardset/quarantine/")
    assert list(pd.read_json(f"{disk.place}/{file}", lines=True)["source_key"]) == ["bad0", "bad1"]
    assert [json.loads(line)["source_key"] for line in disk.read(file).splitlines()] == ["bad0", "bad1"]


def test_all_parquet_below_a_dataset_is_rows(disk: Folder) -> None:
    manifest = finished_run(disk, (shard_of(0), shard_of(1)), lost=1)
    found = duckdb.sql(f"SELECT count(*), count(image_sha256) FROM '{disk.place}/**/*.parquet'").fetchall()
    assert found == [(manifest.totals.rows_out,) * 2]


@pytest.mark.parametrize("dataset", OLDER, ids=lambda path: path.parent.name)
def test_those_of_earlier_versions_are_audited_where_they_are(dataset: Path, tmp_path: Path) -> None:
    folder = Folder(str(shutil.copytree(dataset, tmp_path / "out")))
    manifest = latest_manifest(folder)
    assert isinstance(manifest, Manifest)
    file = next(output.quarantine for output in manifest.outputs if output.quarantine)
    assert file.path.startswith("quarantine/")
    assert len(quarantine_records(folder, file)) == file.rows > 0
    assert verify(folder, sample=0).faults == []
    folder.write(file.path, pa.BufferOutputStream().getvalue().to_pybytes())
    assert any(fault.startswith(f"{file.path}: cannot be read") for fault in verify(folder, sample=0).faults)
