"""The row contract in SQL: rows.sql shows DuckDB what the files hold, and tables say what their columns mean."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import pyarrow.dataset as ds
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.io.pyarrow import schema_to_pyarrow

from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.dataset.tables.delta import publish_delta
from hardset.pipeline.dataset.tables.iceberg import publish_iceberg
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import COLUMNS, OPEN_VERSION, VERSIONS, arrow_schema, columns_of
from hardset.schemas.rows.documentation import rows_document
from hardset.schemas.rows.sql import duckdb_type, iceberg_type, rows_view
from tests.dataset.examples import CLASSES, finished_run, shard_of
from tests.support import hardset


@pytest.fixture
def disk(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "out's"))


@pytest.fixture
def manifest(disk: Folder) -> Manifest:
    manifest = finished_run(disk, (shard_of(0), shard_of(1, split="test")), lost=1)
    write_card(disk, manifest)
    return manifest


def asked(folder: Folder, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET file_search_path = '" + folder.place.replace("'", "''") + "'")
        connection.execute(folder.read("rows.sql").decode())
        found: list[tuple[Any, ...]] = connection.execute(question).fetchall()
        return found


def test_the_view_holds_every_value_with_its_type(disk: Folder, manifest: Manifest) -> None:
    names = ", ".join(f'"{column.name}"' for column in COLUMNS)
    files = [f"{disk.place}/{output.data.path}" for output in manifest.outputs if output.data]
    stored = ds.dataset(files).to_table().sort_by("row_id").to_pylist()
    assert [
        dict(zip([c.name for c in COLUMNS], row, strict=True))
        for row in asked(disk, f"SELECT {names} FROM rows ORDER BY row_id")
    ] == stored
    types = {name: kind for name, kind, *_ in asked(disk, "DESCRIBE rows")}
    assert {column.name: types[column.name] for column in COLUMNS} == {c.name: duckdb_type(c) for c in COLUMNS}


def test_class_columns_have_their_names_beside_them(disk: Folder, manifest: Manifest) -> None:
    for label, name, target in asked(disk, "SELECT label, label_name, target_label_name FROM rows"):
        assert (name, target) == (CLASSES[label], None)


def test_the_query_that_the_card_shows_counts_over_attacked_rows(tmp_path: Path) -> None:
    out = shutil.copytree(Path(__file__).parents[1] / "contract_1_1" / "dataset", tmp_path / "out")
    folder = Folder(str(out))
    manifest = latest_manifest(folder)
    assert manifest is not None
    write_card(folder, manifest)
    (query,) = re.findall(r"```sql\n(.*?)```", folder.read("README.md").decode(), re.DOTALL)
    counts = {}
    for row in ds.dataset([str(out / file.path) for file in manifest.data_files]).to_table().to_pylist():
        aim = row["target_label"]
        if row["kind"] == "adversarial" and (row["clean_pred"] == row["label"] if aim is None else aim != row["label"]):
            counts.setdefault((row["op"], row["eps"]), []).append(row["success"])
    wanted = [(*key, sum(values) / len(values)) for key, values in sorted(counts.items())]
    assert asked(folder, query) == wanted
    assert len(wanted) == 4


def test_success_over_attacked_rows_is_what_the_manifest_counts() -> None:
    folder = Folder(str(Path(__file__).parents[1] / "contract_1_1" / "dataset"))
    old = latest_manifest(folder)
    assert old is not None
    files = [f"{folder.place}/{file.path}" for file in old.data_files]
    with duckdb.connect() as connection:
        connection.execute(rows_view(files, old.classes, old.contract))
        found = connection.execute("SELECT count(*), count(*) FILTER (success) FROM rows WHERE attacked").fetchone()
    assert found == (old.totals.attacked, old.totals.success)


def test_columns_say_what_they_mean(disk: Folder, manifest: Manifest) -> None:
    told = dict(asked(disk, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'rows'"))
    assert {column.name: told[column.name] for column in COLUMNS} == {c.name: c.meaning for c in COLUMNS}


def test_files_of_an_older_contract_have_a_view_of_their_own() -> None:
    folder = Folder(str(Path(__file__).parents[1] / "contract_1_0" / "dataset"))
    old = latest_manifest(folder)
    assert old is not None
    files = [output.data.path for output in old.outputs if output.data]
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{folder.place}'")
        connection.execute(rows_view(files, old.classes, old.contract))
        names = [name for name, *_ in connection.execute("DESCRIBE rows").fetchall()]
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (27,)
    assert [name for name in names if not name.endswith("_name")] == [*(c.name for c in columns_of("1.0")), "attacked"]


def test_tables_say_what_their_columns_mean(disk: Folder, manifest: Manifest) -> None:
    meanings = {column.name: column.meaning for column in COLUMNS}
    publish_iceberg(disk, manifest)
    publish_delta(disk, manifest)
    catalogue = load_catalog("hardset", uri=f"sqlite:///{disk.place}/_hardset/iceberg/catalog.db")
    schema = catalogue.load_table("hardset.rows").schema()
    catalogue.close()
    assert {field.name: field.doc for field in schema.fields} == meanings
    plain = schema_to_pyarrow(schema, include_field_ids=False)
    assert {field.name: str(field.type).replace("large_", "") for field in plain} == {
        column.name: str(column.type) for column in COLUMNS
    }
    fields = deltalake.DeltaTable(disk.url).schema().fields
    assert {field.name: field.metadata["comment"] for field in fields} == meanings


def test_iceberg_types_are_those_of_the_table(disk: Folder, manifest: Manifest) -> None:
    publish_iceberg(disk, manifest)
    catalogue = load_catalog("hardset", uri=f"sqlite:///{disk.place}/_hardset/iceberg/catalog.db")
    schema = catalogue.load_table("hardset.rows").schema()
    catalogue.close()
    simple = {column.name: iceberg_type(column) for column in COLUMNS if column.name != "image"}
    assert {field.name: str(field.field_type) for field in schema.fields if field.name != "image"} == simple


@pytest.mark.parametrize("version", VERSIONS)
def test_the_contract_is_told_as_json(version: str) -> None:
    document = rows_document(version)
    assert [column["name"] for column in document["columns"]] == arrow_schema([], version).names
    by_name = {column["name"]: column for column in document["columns"]}
    assert (by_name["label"]["huggingface"], by_name["eps"]["huggingface"]) == ("ClassLabel", "float64")
    assert by_name["image"]["huggingface"] == "Image"
    assert by_name["params"]["required_of"] == ["augmented"]
    assert document["open"] == (version == OPEN_VERSION)


def test_schema_prints_the_contract() -> None:
    done = hardset("schema", "--rows")
    assert (done.returncode, json.loads(done.stdout)) == (0, rows_document())
