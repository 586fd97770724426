"""Iceberg tables are read by their metadata, at one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hardset.pipeline.dataset.tables.iceberg import HOME, publish_iceberg
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.recognise import recognise
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import IcebergSource, ParquetSource
from hardset.schemas.reading.loading import parse_job
from tests.dataset.examples import finished_run, shard_of
from tests.sources.making import pixels, read_pairs, rows_table

catalogs = pytest.importorskip("pyiceberg.catalog")
WANTED = [(image_sha256(pixels(i)), i % 3) for i in range(6)]


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Any]:
    catalogue = catalogs.load_catalog(
        "hardset", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/house"
    )
    catalogue.create_namespace("a")
    yield catalogue
    catalogue.close()


@pytest.fixture
def table(catalogue: Any) -> Any:
    """Six rows with wrong labels, then the same with the right ones."""
    table = catalogue.create_table("a.rows", rows_table([0]).schema)
    table.append(rows_table([2, 2, 2, 2, 2, 2]))
    table.overwrite(rows_table([0, 1, 2, 0, 1, 2]))
    return table


def source_of(made: Any, **settings: Any) -> IcebergSource:
    return IcebergSource(path=made.location().removeprefix("file://"), **settings)


def refusal(spec: IcebergSource) -> str:
    with pytest.raises(JobError) as told:
        open_source(spec).plan(9)
    return str(told.value)


@pytest.mark.parametrize("known_by", ["folder", "catalogue", "hint"])
def test_a_snapshot_holds_its_own_rows_alone(known_by: str, table: Any, tmp_path: Path) -> None:
    place = Path(source_of(table).path)
    if known_by == "hint":  # as Hadoop's catalogue leaves it
        newest = max(place.glob("metadata/*.metadata.json"))
        newest.rename(newest.with_name("v7.metadata.json"))
        (place / "metadata" / "version-hint.text").write_text("7")
    named = {"catalog": f"sqlite:///{tmp_path}/catalog.db", "table": "a.rows"} if known_by == "catalogue" else {}
    first, *_, last = [shot.snapshot_id for shot in table.snapshots()]
    assert read_pairs(source_of(table, **named)) == WANTED
    assert read_pairs(source_of(table, **named, snapshot=last)) == WANTED
    assert read_pairs(source_of(table, **named, snapshot=first)) == [(digest, 2) for digest, _ in WANTED]
    with pytest.raises(JobError, match=r"is an Iceberg table, .* so write format: iceberg"):
        open_source(ParquetSource(path=str(place))).plan(9)
    assert recognise(str(place)).settings == {"format": "iceberg", "path": str(place)}


def test_a_run_reads_the_snapshot_that_was_planned(table: Any, tmp_path: Path) -> None:
    job = parse_job(
        {
            "name": "iceberg",
            "source": {**source_of(table).model_dump(exclude_unset=True), "format": "iceberg", "classes": [*"abc"]},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": str(tmp_path / "out")},
        }
    )
    plan, planned = make_plan(job), table.current_snapshot().snapshot_id
    assert plan.commit == str(planned)
    table.overwrite(rows_table([1, 1, 1, 1, 1, 1]))
    worker = Worker(job, plan, torch.device("cpu")).source
    rows, _ = worker.read(plan.ranges[0], plan.image, 3)
    assert rows.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert worker.plan(9)[0].file == plan.ranges[0].file
    again = make_plan(job)
    assert again.commit != plan.commit
    assert {shard.key for shard in again.shards}.isdisjoint(shard.key for shard in plan.shards)
    named = job.model_copy(update={"source": job.source.model_copy(update={"snapshot": planned})})
    assert make_plan(named).shards == plan.shards  # the snapshot is in no key: files are


def test_partitions_are_in_the_names_of_folders(catalogue: Any, tmp_path: Path) -> None:
    from pyiceberg.transforms import IdentityTransform

    rows = rows_table([0, 1, 2]).drop(["label"]).append_column("label", pa.array(["a b", "c", "a b"]))
    table = catalogue.create_table("a.parts", rows.schema)
    with table.update_spec() as update:
        update.add_field("label", IdentityTransform(), "label")
    table.append(rows)
    assert open_source(source_of(table)).class_names() == ("a b", "c")
    assert sorted(read_pairs(source_of(table))) == sorted((d, n) for (d, _), n in zip(WANTED, [0, 1, 0], strict=False))


def test_rows_that_hardset_published_are_a_source(disk: Folder) -> None:
    publish_iceberg(disk, finished_run(disk, (shard_of(0), shard_of(1))))
    catalogue = f"sqlite:///{disk.place}/{HOME}/catalog.db"
    reader = open_source(IcebergSource(path=disk.place, catalog=catalogue, table="hardset.rows"))
    rows, rejects = reader.read(reader.plan(9)[0], reader.probe(), 10)
    assert (len(rows), rejects, all(rows.row_ids)) == (3, [], True)
    alone = IcebergSource(path=f"{disk.place}/{HOME}/hardset/rows")
    assert "which lies outside of" in refusal(alone)


def test_what_is_no_table_or_no_snapshot_is_said(catalogue: Any, table: Any, tmp_path: Path) -> None:
    assert "has no snapshot 9; its latest are: " in refusal(source_of(table, snapshot=9))
    (tmp_path / "empty").mkdir()
    assert "empty is no Iceberg table; it has no metadata" in refusal(IcebergSource(path=str(tmp_path / "empty")))
    new = catalogue.create_table("a.new", rows_table([0]).schema)
    assert "has no snapshot, so it holds no rows yet" in refusal(source_of(new))
    named = {"catalog": f"sqlite:///{tmp_path}/catalog.db", "table": "a.other"}
    assert f"source.table: sqlite:///{tmp_path}/catalog.db has no table a.other" in refusal(source_of(table, **named))
    assert refusal(source_of(table, catalog="nowhere", table="a.rows")).startswith("source.catalog: nowhere")
    with pytest.raises(ValueError, match="catalog and table go together"):
        source_of(table, catalog="nowhere")


def test_two_metadata_files_that_may_be_the_newest_are_refused(table: Any) -> None:
    newest = max(Path(source_of(table).path).glob("metadata/*.metadata.json"))
    newest.with_name(f"{newest.name[:6]}another.metadata.json").write_bytes(newest.read_bytes())
    assert "has 2 metadata files that may be the newest" in refusal(source_of(table))


@pytest.mark.parametrize("content", ["POSITION_DELETES", "EQUALITY_DELETES"])
def test_delete_files_are_refused(content: str, table: Any) -> None:
    from pyiceberg.manifest import DataFile, DataFileContent

    held = next(iter(table.scan().plan_files())).file
    deleted = DataFile.from_args(
        content=DataFileContent[content],
        file_path=f"{table.location()}/data/gone.parquet",
        file_format=held.file_format,
        partition=held.partition,
        record_count=1,
        file_size_in_bytes=10,
    )
    deleted.spec_id = 0
    before = table.current_snapshot().snapshot_id
    with table.transaction() as change, change.update_snapshot().fast_append() as snapshot:
        snapshot.append_data_file(deleted)
    assert "has delete files, such as gone.parquet, which take rows out of its data files" in refusal(source_of(table))
    assert read_pairs(source_of(table, snapshot=before)) == WANTED


def test_renamed_columns_are_refused_where_they_are_read(table: Any) -> None:
    with table.update_schema() as update:
        update.add_column("note", table.schema().find_type("label"))
    with table.update_schema() as update:
        update.rename_column("note", "remark")
    assert read_pairs(source_of(table)) == WANTED
    assert "the column 'remark' was renamed" in refusal(source_of(table, keep=["remark"]))
    with table.update_schema() as update:
        update.rename_column("label", "klass")
    assert "the column 'klass' was renamed" in refusal(source_of(table, label="klass"))


def test_files_elsewhere_are_refused(table: Any, tmp_path: Path) -> None:
    pq.write_table(rows_table([0]), tmp_path / "other.parquet")
    table.add_files([f"file://{tmp_path}/other.parquet"])
    assert f"lists file://{tmp_path}/other.parquet, which lies outside of" in refusal(source_of(table))
    above = IcebergSource(path=str(tmp_path), catalog=f"sqlite:///{tmp_path}/catalog.db", table="a.rows")
    assert len(read_pairs(above)) == 7


def test_the_library_is_named_where_it_is_missing(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyiceberg.catalog", None)
    assert "pip install hardset[iceberg]" in refusal(source_of(table))
