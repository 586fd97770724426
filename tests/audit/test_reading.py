"""What an audit reads of a dataset, and the one that this is timed on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from benchmarks import verify as timed

import hardset
from hardset.pipeline.storage.disk import LocalStore
from hardset.schemas.reading.loading import parse_job
from tests.support import make_here


def test_an_audit_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = {
        "name": "read-once",
        "source": {"format": "digits", "limit": 30},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": str(tmp_path / "out"), "shard_rows": 10},
    }
    make_here(parse_job(job))
    make_here(parse_job(job | {"source": {"format": "digits", "limit": 40}}))  # takes shards of the first run over
    read, times = LocalStore.read, Counter[str]()

    def counted(store: LocalStore, path: str) -> bytes:
        times[path] += 1
        return read(store, path)

    monkeypatch.setattr(LocalStore, "read", counted)
    found = hardset.verify(tmp_path / "out", sample=0)
    assert (found.status, found.files, found.faults) == ("verified", 4, ())
    assert {path for path, number in times.items() if number > 1} == set()


def test_the_dataset_that_an_audit_is_timed_on_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "SHARD_ROWS", 20)
    timed.build(tmp_path, 50)
    found = hardset.verify(tmp_path / "out", sample=0)
    assert (found.files, found.rows, found.faults) == (3, 50, ())
