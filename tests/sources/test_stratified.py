"""Samples by class: every class has its share, the same rows again, few others where the source grows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources import ranges
from hardset.pipeline.sources.base import key_of, narrowed
from hardset.pipeline.sources.stratified import chosen, shares
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import sha256_hex
from hardset.schemas.job.sources import DigitsSource, HoldOut, ImageFolderSource, ImageSource, Limit, Source
from hardset.schemas.reading.loading import parse_job
from tests.sources.making import npz_bytes, parquet_bytes, pixels, png, tar_bytes, write
from tests.sources.test_labels import parquet as text_parquet

SKEWED = [0] * 40 + [1] * 12 + [2] * 8
"""Labels of 60 rows, class after class, as folders hold them."""


def folder_source(place: Path) -> dict[str, Any]:
    for row, label in enumerate(SKEWED):
        write(place / "abc"[label] / f"{row:02}.png", png(row))
    return {"format": "imagefolder", "path": str(place)}


def parquet_source(place: Path) -> dict[str, Any]:
    for name, rows in (("a", range(45)), ("b", range(45, 60))):
        file = parquet_bytes([png(row) for row in rows], [SKEWED[row] for row in rows], group=7)
        write(place / f"{name}.parquet", file)
    return {"format": "parquet", "path": str(place), "classes": ["a", "b", "c"]}


def npz_source(place: Path) -> dict[str, Any]:
    images = np.stack([pixels(row) for row in range(60)])
    write(place / "x.npz", npz_bytes(images, np.array(SKEWED)))
    return {"format": "npz", "path": str(place), "classes": ["a", "b", "c"]}


def tar_source(place: Path) -> dict[str, Any]:
    for name, rows in (("a", range(45)), ("b", range(45, 60))):
        members = [(f"{row:02}.{end}", data) for row in rows for end, data in _members(row)]
        write(place / f"{name}.tar", tar_bytes(members))
    return {"format": "webdataset", "path": str(place), "classes": ["a", "b", "c"]}


def _members(row: int) -> list[tuple[str, bytes]]:
    return [("png", png(row)), ("cls", str(SKEWED[row]).encode())]


SOURCES = {"imagefolder": folder_source, "parquet": parquet_source, "npz": npz_source, "webdataset": tar_source}


def spec_of(**settings: Any) -> ImageSource:
    adapter: TypeAdapter[ImageSource] = TypeAdapter(Source)
    return adapter.validate_python(settings)


def rows_of(spec: ImageSource, shard_rows: int = 4) -> dict[str, tuple[int, str]]:
    """Label and digest by key, and every range as it says it is."""
    reader = open_source(spec)
    image, found = reader.probe(), {}
    for part in reader.plan(shard_rows):
        assert part.rows <= shard_rows
        rows, rejects = reader.read(part, image, 10)
        assert not rejects
        assert [key_of(part, row) for row in range(part.start, part.stop)] == [
            *zip(rows.keys, rows.indices.tolist(), strict=True)
        ]
        last, _ = reader.read(narrowed(part, part.stop - 1, part.stop), image, 10)
        assert last.keys == rows.keys[-1:]
        assert last.sha256 == rows.sha256[-1:]
        found |= dict(zip(rows.keys, zip(rows.labels.tolist(), rows.sha256, strict=True), strict=True))
    return found


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_sample_holds_every_class_in_proportion(source: Any, tmp_path: Path) -> None:
    settings = source(tmp_path)
    whole = rows_of(spec_of(**settings))
    some = rows_of(spec_of(**settings, limit={"rows": 15, "by": "class"}))
    assert Counter(label for label, _ in some.values()) == {0: 10, 1: 3, 2: 2}
    assert some.items() <= whole.items()
    assert rows_of(spec_of(**settings, limit={"rows": 15}), shard_rows=100) == some
    assert rows_of(spec_of(**settings, limit={"rows": 1000, "by": "class"})) == whole
    first = rows_of(spec_of(**settings, limit=15))
    assert list(first) == list(whole)[:15]


def test_a_sample_is_one_of_the_selected_splits_and_of_text_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        spec = text_parquet(tmp_path / "in" / f"{split}.parquet", pa.array(["cat", "dog", "eel"] * 2))
    spec = spec.model_copy(update={"path": str(tmp_path / "in"), "splits": ("test",), "limit": Limit(rows=3)})
    found = rows_of(spec)
    assert sorted(label for label, _ in found.values()) == [0, 1, 2]
    assert all(key.startswith("test") for key in found)


def test_digits_are_sampled_too() -> None:
    spec = DigitsSource(limit=Limit(rows=60), splits=("train",))
    counts = Counter(label for label, _ in rows_of(spec, 25).values())
    assert len(counts) == 10
    assert set(counts.values()) <= {5, 6, 7}
    held = rows_of(spec.model_copy(update={"hold_out": None}))
    part = spec.model_copy(update={"hold_out": HoldOut(fraction=0.5)})
    reader = open_source(part)
    parts = [reader.read(one, reader.probe(), 10)[0] for one in reader.plan(25)]
    assert {key for rows in parts for key in rows.keys} < set(held)


@given(
    counts=st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=1, max_size=10),
    number=st.integers(1, 200),
)
def test_shares_add_up_and_leave_no_class_out(counts: dict[int, int], number: int) -> None:
    found = shares(counts, number)
    assert sum(found.values()) == min(number, sum(counts.values()))
    assert all(found[one] <= counts[one] for one in counts)
    if number >= len(counts):
        assert min(found.values()) >= 1
    assert all(found[a] >= found[b] for a in counts for b in counts if counts[a] > counts[b])


def test_a_new_row_moves_at_most_one_other() -> None:
    rows = [(row % 2, f"x#{row}", (0, row)) for row in range(100)]
    before, after = set(chosen(rows, 20)), set(chosen([*rows, (0, "x#100", (0, 100))], 20))
    assert len(before - after) <= 2
    assert chosen([(None, "x#0", (0, 0))], 5) == []


@pytest.mark.parametrize("limit", [{"rows": 0}, {"rows": 5, "by": "colour"}, 0, {"by": "class"}, True])
def test_what_is_no_limit_is_refused(limit: Any) -> None:
    with pytest.raises(ValidationError):
        spec_of(format="digits", limit=limit)


def warnings_with(limit: Any, settings: dict[str, Any]) -> list[str]:
    job = {"name": "x", "source": settings | {"limit": limit}, "output": {"path": "out"}}
    recipes = [{"kind": "augment", "ops": [{"name": "hflip"}]}]
    return [text for text in make_plan(parse_job(job | {"recipes": recipes})).warnings if "source.limit" in text]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_rows_that_miss_classes_are_told(source: Any, tmp_path: Path) -> None:
    settings = source(tmp_path)
    (told,) = warnings_with(20, settings)
    assert told == (
        "source.limit: 20 rows hold 1 of 3 classes, so figures over them say nothing of the others; take a sample of "
        "all classes with limit: {rows: 20, by: class}"
    )
    assert warnings_with({"rows": 20}, settings) == []
    (few,) = warnings_with({"rows": 2}, settings)
    assert few.endswith("hold 2 of 3 classes, so figures over them say nothing of the others; take at least 3 rows")


def test_members_of_a_sample_are_those_of_its_folders(tmp_path: Path) -> None:
    spec = ImageFolderSource(**folder_source(tmp_path), limit=Limit(rows=9))
    parts = open_source(spec).plan(100)
    assert [(part.file, part.rows, len(part.members), len(part.member_digests)) for part in parts] == [
        ("a", 6, 6, 6),
        ("b", 2, 2, 2),
        ("c", 1, 1, 1),
    ]


@pytest.mark.parametrize("make", [parquet_source, npz_source, tar_source])
@pytest.mark.parametrize("limit", [50, Limit(rows=20)])
def test_labels_of_a_range_are_those_of_its_rows(make: Any, limit: Any, tmp_path: Path) -> None:
    reader = open_source(spec_of(**make(tmp_path), limit=limit))
    for part in reader.plan(4):
        rows, _ = reader.read(part, reader.probe(), 3)
        assert list(reader.labels_in(part)) == rows.labels.tolist()  # type: ignore[attr-defined]


def test_the_smallest_hashes_of_each_class_are_chosen() -> None:
    """Whatever else there is, so that few rows of a sample change where many come."""
    rows = [(row % 2, f"file#{row}", (0, row)) for row in range(200)]
    ranked = sorted(rows, key=lambda row: sha256_hex(f"limit/{row[1]}"))
    wanted = [[place for label, _, place in ranked if label == one][:5] for one in (0, 1)]
    assert chosen(rows, 10) == sorted(wanted[0] + wanted[1])


def test_rows_that_are_close_are_read_in_one_stretch() -> None:
    assert list(ranges.runs([0, 3, 70, 200], gap=66)) == [(0, 71), (200, 201)]
    assert list(ranges.runs([0, 3, 70, 200], gap=65)) == [(0, 4), (70, 71), (200, 201)]
