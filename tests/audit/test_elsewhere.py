"""Datasets of relative paths are audited from any folder; no record tells where they were made."""

from __future__ import annotations

from pathlib import Path

import pytest

import hardset
from hardset.pipeline.testing.source_example import sample_rows
from hardset.schemas.reading.loading import parse_job
from tests.sources.test_conformance import BUILT_IN
from tests.support import make_here


@pytest.mark.parametrize("name", ["parquet", "imagefolder", "webdataset", "manifest", "delta"])
def test_a_dataset_of_relative_paths_is_audited_from_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = BUILT_IN[name]
    assert example.write is not None
    (tmp_path / "made-here" / "in").mkdir(parents=True)
    example.write(tmp_path / "made-here" / "in", sample_rows(example))
    monkeypatch.chdir(tmp_path / "made-here")
    job = parse_job(
        {
            "name": "elsewhere",
            "source": {**example.settings("in"), "classes": ["a", "b", "c"]},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": "out"},
        }
    )
    assert make_here(job).totals.rows_out == 19
    (tmp_path / "made-here").rename(tmp_path / "moved")
    monkeypatch.chdir("/")
    out, source = tmp_path / "moved" / "out", str(tmp_path / "moved" / "in")
    told = [path for path in out.rglob("*") if path.is_file() and b"made-here" in path.read_bytes()]
    assert told == []
    verified = hardset.verify(out, job=job, against=source, sample=0)
    assert (verified.status, verified.faults) == ("verified", ())
    row = hardset.open_dataset(out).to_arrow(["row_id"])["row_id"][0].as_py()
    assert hardset.replay(out, row, job=job, against=source).result == "equal"
