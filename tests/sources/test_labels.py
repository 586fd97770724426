"""Labels of every type that sources have: the same classes from each, and one sentence for what is no label."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.sources.labels import LabelError, Numbering
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ManifestSource, NpzSource, ParquetSource, WebDatasetSource
from tests.sources.making import IMAGE_TYPE, parquet_bytes, pixels, png, tar_bytes, write

NAMES = ["cat", "dog", "eel"]
NUMBERS = [0, 1, 2, 0, 1, 2]
TEXTS = [NAMES[number] for number in NUMBERS]
COLUMNS: dict[str, tuple[pa.Array, bool]] = {
    **{str(kind): (pa.array(NUMBERS, pa.int64()).cast(kind), False) for kind in (pa.int8(), pa.uint64(), pa.float64())},
    "float16": (pa.array(np.array(NUMBERS, np.float16)), False),
    "decimal": (pa.array([Decimal(number) for number in NUMBERS]), False),
    "dictionary of numbers": (pa.array(NUMBERS).dictionary_encode(), False),
    "list of one": (pa.array([[number] for number in NUMBERS], pa.list_(pa.int64(), 1)), False),
    "text": (pa.array(TEXTS), True),
    "large text": (pa.array(TEXTS, pa.large_string()), True),
    "text view": (pa.array(TEXTS, pa.string_view()), True),
    "bytes": (pa.array([text.encode() for text in TEXTS]), True),
    "dictionary of text": (pa.array(TEXTS).dictionary_encode(), True),
}


def parquet(path: Path, labels: pa.Array | None) -> ParquetSource:
    """Six rows in one file."""
    columns: dict[str, Any] = {"image": pa.array([{"bytes": png(row), "path": None} for row in range(6)], IMAGE_TYPE)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns if labels is None else {**columns, "label": labels}), buffer)
    write(path, buffer.getvalue())
    return ParquetSource(path=str(path.parent))


def read(spec: Any, classes: int = 3) -> tuple[list[int], list[tuple[int, str]]]:
    """Labels of the rows, and the index and message of each reject, through a worker that is told the classes."""
    planned = open_source(spec)
    names = planned.class_names() or [str(number) for number in range(classes)]
    reader, image = open_source(spec, names), planned.probe()
    found = [reader.read(part, image, len(names)) for part in planned.plan(4)]
    rejects = [(reject.index, reject.message) for _, lost in found for reject in lost]
    return [int(label) for rows, _ in found for label in rows.labels], rejects


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_type_of_label_gives_the_same_classes(kind: str, tmp_path: Path) -> None:
    labels, text = COLUMNS[kind]
    spec = parquet(tmp_path / "a.parquet", labels)
    assert open_source(spec).class_names() == (tuple(NAMES) if text else None)
    assert read(spec) == (NUMBERS, [])
    listed = spec.model_copy(update={"classes": ("eel", "cat", "dog")})
    assert read(listed) == ([1, 2, 0, 1, 2, 0] if text else NUMBERS, [])
    found = spec.model_copy(update={"classes": "from_source"})
    assert open_source(found).class_names() == tuple(NAMES if text else "012")


def test_booleans_are_two_classes(tmp_path: Path) -> None:
    assert read(parquet(tmp_path / "a.parquet", pa.array([False, True] * 3)), 2) == ([0, 1] * 3, [])


@pytest.mark.parametrize(("folders", "names"), [(["0", "1", "2"], None), (["cat", "dog", "e%20el"], "cat dog e_el")])
def test_labels_stand_in_the_names_of_hive_folders(folders: list[str], names: str | None, tmp_path: Path) -> None:
    for folder in folders:
        spec = parquet(tmp_path / "in" / f"label={folder}" / "part-0.parquet", None)
    spec = spec.model_copy(update={"path": str(tmp_path / "in")})
    wanted = None if names is None else tuple(name.replace("_", " ") for name in names.split())
    assert open_source(spec).class_names() == wanted
    assert read(spec) == ([0] * 6 + [1] * 6 + [2] * 6, [])
    assert open_source(spec.model_copy(update={"classes": "from_source"})).class_names() == (wanted or tuple("012"))


def test_a_hive_folder_without_value_holds_no_labels(tmp_path: Path) -> None:
    parquet(tmp_path / "label=1" / "p.parquet", None)
    parquet(tmp_path / "label=__HIVE_DEFAULT_PARTITION__" / "p.parquet", None)
    labels, rejects = read(ParquetSource(path=str(tmp_path)))
    assert labels == [1] * 6
    assert {message for _, message in rejects} == {"label is null"}


def test_labels_that_begin_at_one_are_counted_from_there(tmp_path: Path) -> None:
    spec = parquet(tmp_path / "a.parquet", pa.array([1, 2, 3, 1, 0, 4]))
    shifted = spec.model_copy(update={"label_offset": 1})
    wanted = [(4, "label 0 is less than source.label_offset 1"), (5, "label 4 is not in 1 to 3")]
    assert read(shifted) == ([0, 1, 2, 0], wanted)
    assert open_source(shifted.model_copy(update={"classes": "from_source"})).class_names() == tuple("1234")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([0, None, 1, 0, 1, 2]), "label is null"),
        (pa.array([0, 0.5, 1, 0, 1, 2]), "label 0.5 is no whole number"),
        (pa.array([0, float("nan"), 1, 0, 1, 2]), "label is null"),
        (pa.array([0, float("inf"), 1, 0, 1, 2]), "label inf is no whole number"),
        (pa.array([0, -1, 1, 0, 1, 2]), "label -1 is not in 0 to 2"),
        (pa.array(["cat", None, "dog", "cat", "dog", "eel"]), "label is null"),
    ],
)
def test_a_row_that_has_no_class_is_lost_alone(labels: pa.Array, message: str, tmp_path: Path) -> None:
    assert read(parquet(tmp_path / "a.parquet", labels)) == ([0, 1, 0, 1, 2], [(1, message)])


def test_a_name_that_the_job_does_not_list_is_lost_alone(tmp_path: Path) -> None:
    spec = parquet(tmp_path / "a.parquet", pa.array(TEXTS)).model_copy(update={"classes": ("cat", "dog", "cow")})
    assert read(spec) == ([0, 1, 0, 1], [(row, "label 'eel' names none of the 3 classes") for row in (2, 5)])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([[0, 1]] * 6), "column 'label' in a.parquet holds several labels a row .*makes rows of one class"),
        (pa.nulls(6), "column 'label' in a.parquet holds nulls alone; name a column of labels"),
        (pa.array([{"x": 1}] * 6), "column 'label' in a.parquet is struct<x: int64>; wants whole numbers or names"),
    ],
)
def test_a_column_that_holds_no_label_is_refused(labels: pa.Array, message: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=message):
        open_source(parquet(tmp_path / "a.parquet", labels)).plan(4)


def test_text_in_one_file_and_numbers_in_another_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.array(TEXTS))
    spec = parquet(tmp_path / "b.parquet", pa.array(NUMBERS))
    with pytest.raises(JobError, match=r"source.label: label is text in a.parquet and numbers in b.parquet"):
        open_source(spec).class_names()


def test_the_order_of_the_job_replaces_that_of_the_files(tmp_path: Path) -> None:
    images = [png(row) for row in range(6)]
    write(tmp_path / "a.parquet", parquet_bytes(images, NUMBERS, names=NAMES))
    spec = ParquetSource(path=str(tmp_path))
    assert read(spec) == (NUMBERS, [])
    assert read(spec.model_copy(update={"classes": ("eel", "dog", "cow", "cat")})) == ([3, 1, 0, 3, 1, 0], [])
    missing = spec.model_copy(update={"classes": ("eel", "dog", "cow")})
    with pytest.raises(JobError, match=r"lists eel, dog, cow, but .* has the class 'cat' \(its classes: cat, dog, eel"):
        open_source(missing).plan(4)
    write(tmp_path / "b.parquet", parquet_bytes(images, NUMBERS))
    with pytest.raises(JobError, match=r"a.parquet names its classes and b.parquet does not"):
        open_source(spec.model_copy(update={"classes": ("eel", "dog", "cat")})).plan(4)


ARRAYS: dict[str, np.ndarray] = {
    "column": np.array(NUMBERS)[:, None],
    "floats": np.array(NUMBERS, float),
    "big endian": np.array(NUMBERS, ">i4"),
    "text": np.array(TEXTS),
    "bytes": np.array([text.encode() for text in TEXTS]),
    "column of text": np.array(TEXTS)[:, None],
}


def npz(path: Path, labels: np.ndarray) -> NpzSource:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.stack([pixels(row) for row in range(6)]), labels=labels)
    return NpzSource(path=str(write(path, buffer.getvalue())))


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_labels_give_the_same_classes(kind: str, tmp_path: Path) -> None:
    spec = npz(tmp_path / "x.npz", ARRAYS[kind])
    assert open_source(spec).class_names() == (tuple(NAMES) if ARRAYS[kind].dtype.kind in "US" else None)
    assert read(spec) == (NUMBERS, [])


def test_one_hot_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"several values a row.*of one-hot labels store labels.argmax\(1\)"):
        open_source(npz(tmp_path / "x.npz", np.eye(3)[NUMBERS])).plan(4)


@pytest.mark.parametrize("several", [[0, 1], np.array([0, 1]), ("cat", "dog"), []])
def test_several_labels_of_a_row_are_counted(several: Sequence[Any]) -> None:
    with pytest.raises(LabelError, match=rf"holds {len(several)} labels .*; wants one"):
        Numbering.of(NAMES).number(several)


def test_names_are_compared_in_nfc() -> None:
    assert Numbering.of(["dog", "cafe\u0301"]).number("caf\u00e9") == 1


def table_of(path: Path, labels: Sequence[int | str]) -> ManifestSource:
    lines = [f"x{row}.png,{label}\n" for row, label in enumerate(labels)]
    write(path.with_suffix(".csv"), "".join(["path,label\n", *lines]).encode())
    return ManifestSource(path=str(path.parent))


def tar_of(path: Path, labels: Sequence[int | str]) -> WebDatasetSource:
    members = [(f"{row}.{end}", data) for row, label in enumerate(labels) for end, data in both(row, label)]
    write(path.with_suffix(".tar"), tar_bytes(members))
    return WebDatasetSource(path=str(path.parent))


def both(row: int, label: int | str) -> list[tuple[str, bytes]]:
    return [("png", png(row)), ("cls", str(label).encode())]


@pytest.mark.parametrize("make", [table_of, tar_of], ids=["manifest", "webdataset"])
def test_every_format_refuses_text_in_one_file_and_numbers_in_another(make, tmp_path: Path) -> None:
    make(tmp_path / "a", TEXTS)
    spec = make(tmp_path / "b", NUMBERS)
    with pytest.raises(JobError, match=r"source\.label: labels are text in a\.\w+ and numbers in b\.\w+; write labels"):
        open_source(spec).class_names()


def test_arrays_of_text_in_one_file_and_of_numbers_in_another_are_refused(tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", np.array(TEXTS))
    npz(tmp_path / "b.npz", np.array(NUMBERS))
    with pytest.raises(JobError, match=r"source\.labels: labels is text in a\.npz and numbers in b\.npz; write labels"):
        open_source(NpzSource(path=str(tmp_path))).class_names()
