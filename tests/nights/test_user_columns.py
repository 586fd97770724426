"""Columns of the user's own through whole nights: in rows, in every description of them, and night after night."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hardset
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.dataset.tables.delta import publish_delta
from hardset.pipeline.dataset.tables.iceberg import publish_iceberg
from hardset.pipeline.run.generation import Accept, RunOutcome, generate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Manifest
from tests.nights.conftest import FLIPS
from tests.sources.making import IMAGE_TYPE, png, write

NOISE = {"kind": "augment", "ops": [{"name": "gaussian_noise", "std": 0.05}], "variants": 2}
KEEP = ["id", {"n": "number"}, "share", "seen", "day", "at", "bbox"]
NAMES = ("id", "number", "share", "seen", "day", "at", "bbox")
AT = datetime(2026, 11, 27, 22, 54, 13, 123456)


class Source:
    """Parquet files with columns of every type, and an output beside them."""

    def __init__(self, place: Path) -> None:
        self.source, self.out = place / "in", place / "out"
        self.put("a")

    def put(self, name: str, rows: int = 4, number: pa.DataType = pa.int64()) -> None:  # noqa: B008
        columns: dict[str, Any] = {
            "image": pa.array([{"bytes": png(ord(name) * 10 + row), "path": None} for row in range(rows)], IMAGE_TYPE),
            "label": [row % 2 for row in range(rows)],
            "id": [f"{name}{row}" for row in range(rows)],
            "n": pa.array(list(range(rows))).cast(number),
            "share": pa.array([0.5] * rows, pa.float32()),
            "seen": [True, None] * (rows // 2),
            "day": [date(2026, 11, 27)] * rows,
            "at": [AT] * rows,
            "bbox": [[0.0, 1.0, 2.0, 3.0]] * rows,
        }
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        write(self.source / f"{name}.parquet", buffer.getvalue())

    def job(self, recipe: dict[str, Any] = NOISE, **source: Any) -> Job:
        whole = {"format": "parquet", "path": str(self.source), "classes": ["cat", "dog"], "keep": KEEP, **source}
        output = {"path": str(self.out), "shard_rows": 3}
        return parse_job({"name": "nightly", "source": whole, "recipes": [recipe], "output": output})

    def run(self, **source: Any) -> RunOutcome:
        return generate(self.job(**source))

    def manifest(self) -> Manifest:
        found = latest_manifest(Folder(str(self.out)))
        assert found is not None
        return found


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def expected(name: str, row: int) -> dict[str, Any]:
    """Values of the user's columns of a source row."""
    seen = None if row % 2 else True
    day = date(2026, 11, 27)
    values = (f"{name}{row}", row, 0.5, seen, day, AT, "[0.0, 1.0, 2.0, 3.0]")
    return dict(zip(NAMES, values, strict=True))


def test_every_row_carries_them_and_every_description_types_them(source: Source) -> None:
    source.run()
    dataset = hardset.open_dataset(source.out)
    assert dataset.columns[-len(NAMES) :] == NAMES
    rows = dataset.to_arrow(["source_index", *NAMES])
    types = [pa.string(), pa.int64(), pa.float32(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.string()]
    assert rows.schema.types[1:] == types
    for row in rows.to_pylist():
        index = row.pop("source_index")
        assert row == expected("a", index)
    assert rows.num_rows == 8
    assert dataset.sql("SELECT max(number) AS most FROM rows WHERE day = '2026-11-27'").to_pylist() == [{"most": 3}]
    assert verify(Folder(str(source.out)), sample=None, trust=Trust(records=True)).faults == []
    manifest = source.manifest()
    assert manifest.user_columns["at"] == "timestamp[us]"
    (first, *_) = dataset.to_arrow(["row_id"])["row_id"].to_pylist()
    again = replay(Folder(str(source.out)), first, trust=Trust(records=True))
    assert (again.equal, again.columns_differing) == (True, ())


def test_readers_give_them_typed(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.run()
    loaded = datasets.load_dataset(str(source.out), split="train", cache_dir=str(source.out.parent / "cache"))
    assert {loaded.features[name].dtype for name in ("number", "share", "day", "at")} == {
        "int64",
        "float32",
        "date32",
        "timestamp[us]",
    }
    assert loaded[0]["id"] == "a0"
    monkeypatch.chdir(source.out)
    with duckdb.connect() as connection:
        connection.execute((source.out / "rows.sql").read_text())
        found = connection.sql("SELECT id, number, day, rows.at, bbox FROM rows ORDER BY ALL LIMIT 1").fetchall()
    assert found == [("a0", 0, date(2026, 11, 27), AT, "[0.0, 1.0, 2.0, 3.0]")]


def test_tables_have_them_typed(source: Source) -> None:
    import deltalake
    from pyiceberg.table import StaticTable

    source.run()
    folder, manifest = Folder(str(source.out)), source.manifest()
    publish_delta(folder, manifest)
    rows = deltalake.DeltaTable(str(source.out)).to_pyarrow_table()
    assert sorted(rows["id"].to_pylist()) == sorted(f"a{row}" for row in range(4) for _ in range(2))
    assert rows.schema.field("at").type == pa.timestamp("us")
    publish_iceberg(folder, manifest)
    metadata = max((source.out / "_hardset" / "iceberg").rglob("*.metadata.json"))
    table = StaticTable.from_metadata(str(metadata))
    assert [str(table.schema().find_field(name).field_type) for name in ("number", "day", "at")] == [
        "long",
        "date",
        "timestamp",
    ]
    assert table.scan(selected_fields=("at",)).to_arrow()["at"].to_pylist() == [AT] * 8


def test_croissant_describes_them(source: Source) -> None:
    import mlcroissant

    source.run()
    described = mlcroissant.Dataset(str(source.out / "croissant.json"))
    assert described.metadata.issues.errors == set()
    fields = {field.name: str(field.data_types[0]) for field in described.metadata.record_sets[1].fields}
    assert (fields["day"], fields["at"]) == ("https://schema.org/Date", "https://schema.org/DateTime")


def test_smaller_numbers_change_no_type_and_another_type_stops_the_night(source: Source) -> None:
    first = source.run().plan.run_id
    source.put("a", number=pa.int16())
    source.put("b", number=pa.int16())
    assert source.run().plan.user_columns["number"] == "int64"
    before = source.manifest().run_id
    assert before != first
    for name in "ab":
        source.put(name, number=pa.string())
    wanted = rf"source.keep: the column 'number' was int64 in run {before} and is string now; mend the source, or go on"
    with pytest.raises(JobError, match=wanted):
        source.run()
    outcome = generate(source.job(), accept=Accept(columns=True))
    assert outcome.plan.user_columns["number"] == "string"
    assert source.run().status == "nothing to do"


def test_columns_of_rows_that_were_drawn_or_lost_do_not_mix_up(source: Source) -> None:
    (source.source / "a.parquet").unlink()
    source.put("c", rows=6)
    table = pq.read_table(source.source / "c.parquet")
    images = table["image"].to_pylist()
    images[1] = {"bytes": b"junk", "path": None}
    pq.write_table(table.set_column(0, "image", pa.array(images, IMAGE_TYPE)), source.source / "c.parquet")
    source.run()
    rows = hardset.open_dataset(source.out).to_arrow(["source_index", "id"]).to_pylist()
    assert sorted({(row["source_index"], row["id"]) for row in rows}) == [(i, f"c{i}") for i in (0, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("recipe", "settings", "reason"),
    [
        (FLIPS, {}, r"recipes.0.ops.0 \(hflip\) moves pixels"),
        (NOISE, {"size": 8}, r"source.size resizes rows"),
    ],
)
def test_places_in_the_image_are_refused_where_pixels_move(
    recipe: dict[str, Any], settings: dict[str, Any], reason: str, source: Source
) -> None:
    wanted = rf"source.keep: the column 'bbox' holds places in the image, and {reason}, so they would no longer fit"
    with pytest.raises(JobError, match=wanted):
        generate(source.job(recipe, **settings))
    assert not source.out.exists()
    assert generate(source.job(recipe, **settings, keep=["id"])).status == "complete"


@pytest.mark.parametrize("name", ["row_id", "label", "margin", "LABEL", "pred_name", "attacked"])
def test_a_name_of_the_contract_is_refused(name: str, source: Source) -> None:
    with pytest.raises(JobError, match=rf"source.keep: got the column '{name}', but .* of the row contract"):
        generate(source.job(keep={"id": name}))
