"""Delta tables are read by their log, at one version."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import DeltaSource, ParquetSource
from hardset.schemas.reading.loading import parse_job
from tests.sources.making import pixels, read_pairs, rows_table

deltalake = pytest.importorskip("deltalake")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six rows with wrong labels, then the same with the right ones."""
    deltalake.write_deltalake(tmp_path / "table", rows_table([2, 2, 2, 2, 2, 2]))
    deltalake.write_deltalake(tmp_path / "table", rows_table([0, 1, 2, 0, 1, 2]), mode="overwrite")
    return tmp_path / "table"


def test_a_version_holds_its_own_rows_alone(table: Path) -> None:
    wanted = [(image_sha256(pixels(i)), i % 3) for i in range(6)]
    assert read_pairs(DeltaSource(path=str(table))) == wanted
    assert read_pairs(DeltaSource(path=str(table), version=1)) == wanted
    assert read_pairs(DeltaSource(path=str(table), version=0)) == [(digest, 2) for digest, _ in wanted]
    with pytest.raises(JobError, match=r"is a Delta table, .* so write format: delta"):
        open_source(ParquetSource(path=str(table))).plan(9)


def test_partitions_are_in_the_names_of_folders(tmp_path: Path) -> None:
    rows = rows_table([0, 1, 2]).drop(["label"]).append_column("label", pa.array(["a b", "c", "a b"]))
    deltalake.write_deltalake(tmp_path, rows, partition_by=["label"])
    reader = open_source(DeltaSource(path=str(tmp_path)))
    assert reader.class_names() == ("a b", "c")
    assert sorted(n for _, n in read_pairs(DeltaSource(path=str(tmp_path)))) == [0, 0, 1]


def test_a_run_reads_the_version_that_was_planned(table: Path, tmp_path: Path) -> None:
    job = parse_job(
        {
            "name": "delta",
            "source": {"format": "delta", "path": str(table), "classes": ["a", "b", "c"]},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": str(tmp_path / "out")},
        }
    )
    plan = make_plan(job)
    assert plan.commit == "1"
    deltalake.write_deltalake(table, rows_table([1, 1, 1, 1, 1, 1]), mode="overwrite")
    rows, _ = Worker(job, plan, torch.device("cpu")).source.read(plan.ranges[0], plan.image, 3)
    assert rows.labels.tolist() == [0, 1, 2, 0, 1, 2]
    again = make_plan(job)
    assert (again.commit, {s.key for s in again.shards}.isdisjoint(s.key for s in plan.shards)) == ("2", True)
    named = job.model_copy(update={"source": job.source.model_copy(update={"version": 1})})
    assert make_plan(named).shards == plan.shards  # the version is in no key: files are


def test_what_is_no_table_or_no_version_is_said(table: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"^source\.version: .*table has no version 9 that can be read"):
        open_source(DeltaSource(path=str(table), version=9)).plan(9)
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match=r"^source\.path: .*empty is no Delta table"):
        open_source(DeltaSource(path=str(tmp_path / "empty"))).plan(9)


def test_tables_whose_files_do_not_tell_their_rows_are_refused(tmp_path: Path) -> None:
    configuration = {"delta.enableDeletionVectors": "true"}
    deltalake.DeltaTable.create(tmp_path, rows_table([0]).schema, configuration=configuration)
    with pytest.raises(JobError, match=r"uses .*, by which its files alone do not tell its rows"):
        open_source(DeltaSource(path=str(tmp_path))).plan(9)
