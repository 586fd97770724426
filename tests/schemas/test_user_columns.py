"""Columns of the user's own follow the contract's: in files, features and views, and never in the way of its names."""

from __future__ import annotations

import datetime
import io
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.dataset.files.parquet import check_file, encode_rows
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.rows.contract import (
    CONTRACT_VERSION,
    arrow_schema,
    card_features,
    described_schema,
    schema_sha256,
)
from hardset.schemas.rows.sql import iceberg_type, rows_view
from hardset.schemas.rows.user_columns import USER_TYPES, user_columns
from tests.dataset.examples import CLASSES, columns_of, pixels_of

MINE = user_columns({f"mine-{number}": kind for number, kind in enumerate(USER_TYPES)})
VALUES = {
    "string": "a caption",
    "bool": True,
    "int32": -1,
    "int64": 2**40,
    "float": 0.5,
    "double": 0.1,
    "date32[day]": datetime.date(2026, 11, 27),
    "timestamp[us]": datetime.datetime(2026, 11, 27, 20, 15),
}


def _file(values: dict[str, object]) -> bytes:
    rows = columns_of(pixels_of(3))
    return encode_rows(rows | values, classes=CLASSES, footer={}, user=MINE)


def test_they_stand_behind_the_contracts_columns_in_schema_and_file() -> None:
    schema = arrow_schema(CLASSES, user=MINE)
    assert schema.names == [*arrow_schema(CLASSES).names, *(column.name for column in MINE)]
    assert schema.types[-len(MINE) :] == list(USER_TYPES)
    values = {column.name: [VALUES[str(column.type)], None, VALUES[str(column.type)]] for column in MINE}
    data = _file(values)
    table = pq.read_table(io.BytesIO(data))
    assert table.schema.equals(schema)
    assert {column.name: table[column.name].to_pylist() for column in MINE} == values
    assert check_file(data, classes=CLASSES, user=MINE).num_rows == 3
    with pytest.raises(RunError, match="another schema"):
        check_file(data, classes=CLASSES)


def test_a_row_without_values_is_stored_and_a_wrong_value_is_refused() -> None:
    assert pq.read_table(io.BytesIO(_file({})))["mine-2"].null_count == 3
    with pytest.raises(RunError, match="column mine-2 does not hold int32 values"):
        _file({"mine-2": ["a", "b", "c"]})


def test_what_is_made_of_the_columns_knows_them() -> None:
    names = [column.name for column in MINE]
    assert [feature["name"] for feature in card_features([], user=MINE)][-len(MINE) :] == names
    assert described_schema(CONTRACT_VERSION, "doc", MINE).names[-len(MINE) :] == names
    assert len({schema_sha256([], user=MINE[:count]) for count in range(len(MINE) + 1)}) == len(MINE) + 1
    assert '"mine-6"::DATE AS "mine-6"' in rows_view(["a.parquet"], [], user=MINE)


def test_readers_take_every_type() -> None:
    datasets, duckdb = pytest.importorskip("datasets"), pytest.importorskip("duckdb")
    schema = arrow_schema(CLASSES, user=MINE)
    features = datasets.Features.from_arrow_schema(schema)
    assert features == datasets.Features._from_yaml_list(card_features(CLASSES, user=MINE))
    assert features.arrow_schema.equals(schema)
    with duckdb.connect() as connection:
        connection.register("files", schema.empty_table())
        view = rows_view(["files"], CLASSES, user=MINE)
        view = re.sub(r"read_parquet\(.*\)", "files", view).replace("CREATE OR REPLACE VIEW", "CREATE TEMP VIEW")
        connection.execute(view)
        assert set(schema.names) <= {name for name, *_ in connection.execute("DESCRIBE rows").fetchall()}
    types = pytest.importorskip("pyiceberg.types")
    kinds = ("String", "Boolean", "Integer", "Long", "Float", "Double", "Date", "Timestamp")
    assert [iceberg_type(column) for column in MINE] == [str(getattr(types, f"{kind}Type")()) for kind in kinds]


@pytest.mark.parametrize("name", ["label", "Row_ID", "l0_pixels", "label_name", "PRED_NAME"])
def test_a_clash_with_the_contract_is_refused(name: str) -> None:
    with pytest.raises(JobError, match=rf"^source\.keep: got the column '{name}', but .* of the row contract; give it"):
        user_columns({name: pa.string()})


def test_names_that_differ_only_in_case_clash() -> None:
    with pytest.raises(JobError, match="got the column 'ID', but id is kept already"):
        user_columns({"id": pa.int64(), "ID": pa.int64()})


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a,b", "-a"])
def test_a_name_that_readers_refuse_is_refused(name: str) -> None:
    with pytest.raises(JobError, match="wants letters, digits, _ and -"):
        user_columns({name: pa.string()})


@pytest.mark.parametrize(
    "kind", [pa.uint8(), pa.float16(), pa.large_string(), pa.list_(pa.int64()), pa.timestamp("ns")]
)
def test_a_type_that_readers_refuse_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(JobError, match=r"the column 'mine' holds .* values; wants one of string, bool, int32"):
        user_columns({"mine": kind})
