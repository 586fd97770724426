"""Columns of the user's own: what rows carry of every type that sources store."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from hardset.pipeline.sources.base import user_types_of
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.sources.user_values import common_type
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageSource, NpzSource, ParquetSource, Source
from hardset.schemas.rows.user_columns import USER_TYPES
from tests.sources.making import IMAGE_TYPE, pixels, png, write

DAY, MOMENT = date(2026, 11, 27), datetime(2026, 11, 27, 22, 54, 13, 123456)
STORED: dict[str, tuple[pa.Array, pa.DataType, Any]] = {
    "int8": (pa.array([-1], pa.int8()), pa.int32(), -1),
    "uint16": (pa.array([65_535], pa.uint16()), pa.int32(), 65_535),
    "uint32": (pa.array([2**32 - 1], pa.uint32()), pa.int64(), 2**32 - 1),
    "int64": (pa.array([2**63 - 1]), pa.int64(), 2**63 - 1),
    "float16": (pa.array(np.array([0.5], np.float16)), pa.float32(), 0.5),
    "float64": (pa.array([0.1]), pa.float64(), 0.1),
    "bool": (pa.array([True]), pa.bool_(), True),
    "large text": (pa.array(["caf\u00e9"], pa.large_string()), pa.string(), "caf\u00e9"),
    "dictionary": (pa.array(["a"]).dictionary_encode(), pa.string(), "a"),
    "date": (pa.array([DAY]), pa.date32(), DAY),
    "date64": (pa.array([DAY], pa.date64()), pa.date32(), DAY),
    "timestamp": (pa.array([MOMENT]), pa.timestamp("us"), MOMENT),
    "nanoseconds": (pa.array([MOMENT], pa.timestamp("ns")), pa.timestamp("us"), MOMENT),
    "zoned": (pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("ms", "Asia/Tokyo")), pa.timestamp("us"), MOMENT),
    "decimal": (pa.array([Decimal("12.30")]), pa.string(), "12.30"),
    "time": (pa.array([time(1, 2, 3)]), pa.string(), "01:02:03"),
    "bytes": (pa.array([b"\x00\xff"]), pa.string(), "AP8="),
    "list": (pa.array([[0.5, float("nan")]]), pa.string(), "[0.5, null]"),
    "struct": (pa.array([{"x": [1], "b": b"\x00"}]), pa.string(), '{"x": [1], "b": "AA=="}'),
    "nulls": (pa.nulls(1), pa.string(), None),
}


def parquet(path: Path, columns: Mapping[str, pa.Array], keep: Any) -> ParquetSource:
    """A file with these columns beside image and label, and a source of its folder that keeps some."""
    rows = len(next(iter(columns.values())))
    images = pa.array([{"bytes": png(row), "path": None} for row in range(rows)], IMAGE_TYPE)
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": pa.array([0] * rows), **columns}), buffer)
    write(path, buffer.getvalue())
    adapter: TypeAdapter[ImageSource] = TypeAdapter(Source)
    spec = adapter.validate_python({"format": "parquet", "path": str(path.parent), "keep": keep})
    assert isinstance(spec, ParquetSource)
    return spec


def read(spec: ImageSource) -> tuple[dict[str, list[Any]], list[str]]:
    """Values of the user's columns over all rows, and the messages of the rejects."""
    reader = open_source(spec)
    found, lost = {}, []
    for part in reader.plan(10):
        rows, rejects = reader.read(part, reader.probe(), 3)
        lost += [reject.message for reject in rejects]
        for name, values in rows.user.items():
            found.setdefault(name, []).extend(values)
    return found, lost


@pytest.mark.parametrize("kind", STORED)
def test_a_column_is_carried_as_it_is(kind: str, tmp_path: Path) -> None:
    stored, wanted, value = STORED[kind]
    spec = parquet(tmp_path / "a.parquet", {"mine": stored}, ["mine"])
    assert user_types_of(open_source(spec)) == {"mine": wanted}
    found, lost = read(spec)
    if kind == "zoned":
        value = value.replace(microsecond=123000)
    assert (found, lost) == ({"mine": [value]}, [])
    assert pa.array(found["mine"], wanted).to_pylist() == [value]


def test_columns_get_the_names_that_the_job_gives_them(tmp_path: Path) -> None:
    columns = {"id": pa.array(["x", None]), "row_id": pa.array([1, 2]), "n": pa.array([3, 4])}
    spec = parquet(tmp_path / "a.parquet", columns, {"id": "sample_id", "row_id": "mine"})
    assert read(spec)[0] == {"sample_id": ["x", None], "mine": [1, 2]}
    mixed = parquet(tmp_path / "a.parquet", columns, ["n", {"id": "sample_id"}])
    assert read(mixed)[0] == {"n": [3, 4], "sample_id": ["x", None]}


@pytest.mark.parametrize("keep", [["n", "n"], ["n", {"n": "m"}], "n", [1.5]])
def test_what_is_no_list_of_columns_is_refused(keep: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        parquet(tmp_path / "a.parquet", {"n": pa.array([1])}, keep)


def test_a_column_that_is_not_there_is_answered_with_those_there_are(tmp_path: Path) -> None:
    spec = parquet(tmp_path / "a.parquet", {"id": pa.array([1])}, ["idd"])
    with pytest.raises(JobError, match=r"source.keep: no column 'idd' in .*; it has: id, label"):
        user_types_of(open_source(spec))
    with pytest.raises(
        JobError, match=r"the column 'id' is duration\[us\], which no row can carry; wants one of string"
    ):
        user_types_of(open_source(parquet(tmp_path / "a.parquet", {"id": pa.array([1], pa.duration("us"))}, ["id"])))


def test_files_agree_on_the_wider_type_or_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", {"n": pa.array([1], pa.int16())}, ["n"])
    spec = parquet(tmp_path / "b.parquet", {"n": pa.array([2**40])}, ["n"])
    parquet(tmp_path / "c.parquet", {"other": pa.array([2])}, [])
    assert user_types_of(open_source(spec)) == {"n": pa.int64()}
    assert read(spec)[0] == {"n": [1, 2**40, None]}
    parquet(tmp_path / "d.parquet", {"n": pa.array(["x"])}, ["n"])
    with pytest.raises(JobError, match=r"the column 'n' is int64 in b.parquet and string in d.parquet; write it alike"):
        user_types_of(open_source(spec))


def test_days_in_one_file_and_moments_in_another_are_refused(tmp_path: Path) -> None:
    """Arrow writes no day into a column of moments: the run would fail at its first row of the one file."""
    parquet(tmp_path / "a.parquet", {"at": pa.array([DAY])}, ["at"])
    spec = parquet(tmp_path / "b.parquet", {"at": pa.array([MOMENT])}, ["at"])
    with pytest.raises(
        JobError, match=r"the column 'at' is date32\[day\] in a.parquet and timestamp\[us\] in b.parquet"
    ):
        user_types_of(open_source(spec))


@pytest.mark.parametrize(("one", "other"), sorted((str(a), str(b)) for a in USER_TYPES for b in USER_TYPES))
def test_a_type_that_files_agree_on_takes_the_values_of_both(one: str, other: str) -> None:
    kinds = {str(kind): kind for kind in USER_TYPES}
    values = {"string": "x", "bool": True, "date32[day]": DAY, "timestamp[us]": MOMENT, "float": 0.5, "double": 0.5}
    agreed = common_type(kinds[one], kinds[other])
    if agreed is not None:
        found = [values.get(one, 3), values.get(other, 3)]
        assert pa.array(found, agreed).to_pylist() == found


def test_hive_folders_are_columns(tmp_path: Path) -> None:
    for day in ("2026-11-26", "2026-11-27"):
        spec = parquet(tmp_path / "in" / f"day={day}" / "a.parquet", {"n": pa.array([1])}, ["day", "n"])
    spec = spec.model_copy(update={"path": str(tmp_path / "in")})
    assert read(spec)[0] == {"day": ["2026-11-26", "2026-11-27"], "n": [1, 1]}


@pytest.mark.parametrize("large", [2**64 - 1, 2**63])
def test_a_number_too_large_costs_its_row_alone(large: int, tmp_path: Path) -> None:
    spec = parquet(tmp_path / "a.parquet", {"n": pa.array([1, large], pa.uint64())}, ["n"])
    assert read(spec) == ({"n": [1]}, [f"{large} is larger than 64-bit numbers are"])


def test_arrays_beside_the_images_are_columns(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"id": np.array(["a", "b"]), "day": np.array(["2026-11-27"] * 2, "M8[D]")}
    arrays |= {"box": np.array([[1, 2], [3, 4]], np.int16), "score": np.array([[0.5], [1.5]], np.float32)}
    np.savez(buffer, images=np.stack([pixels(0), pixels(1)]), labels=np.array([0, 1]), seed=np.array(3), **arrays)
    spec = NpzSource(path=str(write(tmp_path / "x.npz", buffer.getvalue())), keep={name: name for name in arrays})
    types = user_types_of(open_source(spec))
    assert list(types.values()) == [pa.string(), pa.date32(), pa.string(), pa.float32()]
    found, _ = read(spec)
    assert found["id"] == ["a", "b"]
    assert found["day"] == [DAY, DAY]
    assert [json.loads(box) for box in found["box"]] == [[1, 2], [3, 4]]
    assert pa.array(found["score"], pa.float32()).to_pylist() == [0.5, 1.5]
    with pytest.raises(JobError, match=r"no column 'seed'"):
        user_types_of(open_source(spec.model_copy(update={"keep": {"seed": "seed"}})))
