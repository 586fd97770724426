"""The Hugging Face image layout: only what is needed is read, poison stays alone, faults are named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.sources.base import unfixed, warnings_of
from hardset.pipeline.sources.parquet import _rows_at_once
from hardset.pipeline.sources.ranges import cut_groups
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ParquetSource
from hardset.schemas.records.run import Image
from tests.sources.making import IMAGE_TYPE, encoded, parquet_bytes, pixels, png, write

SHAPE = Image(height=6, width=5, channels=3)


def _read_all(path: Path, image: Image = SHAPE, classes: int = 10, **options: Any) -> tuple[list[Any], list[Any]]:
    reader = open_source(ParquetSource(path=str(path), **options))
    reads = [reader.read(r, image, classes) for r in reader.plan(1000)]
    return [rows for rows, _ in reads], [reject for _, rejects in reads for reject in rejects]


def test_each_poison_is_a_reject_with_its_reason_and_its_neighbours_survive(tmp_path: Path) -> None:
    poison: list[tuple[Any, int | None, str, str]] = [
        (png(0)[:-40], 1, "UnreadableImageError", "truncated"),
        (b"not an image", 1, "UnreadableImageError", "no image in a known format"),
        (b"", 1, "UnreadableImageError", "no bytes"),
        (png(0, 1, 1), 1, "ImageTooSmallError", "1 x 1"),
        (png(0, 40, 50), 1, "ImageTooLargeError", "max_pixels = 1000"),
        (png(0, 7, 5), 1, "WrongSizeError", "7 x 5"),
        (None, 1, "NoImageError", "null"),
        ({"bytes": None, "path": "far/away.png"}, 1, "NoImageError", "far/away.png"),
        (png(0), None, "LabelError", "null"),
        (png(0), -1, "LabelError", "label -1 is not in 0 to 9"),
        (png(0), 10, "LabelError", "label 10 is not in 0 to 9"),
    ]
    images = [cell for i, (bad, *_) in enumerate(poison) for cell in (png(i), bad)] + [png(99)]
    labels = [label for _, bad, *_ in poison for label in (3, bad)] + [3]
    file = write(tmp_path / "rows.parquet", parquet_bytes(images, labels, group=6))
    (rows,), rejects = _read_all(file, max_pixels=1000)
    assert rows.indices.tolist() == list(range(0, len(images), 2))
    assert rows.sha256[:-1] == tuple(image_sha256(pixels(i)) for i in range(len(poison)))
    assert [r.index for r in rejects] == list(range(1, len(images), 2))
    for reject, (_, _, kind, reason) in zip(rejects, poison, strict=True):
        assert (reject.error_class, reject.stage, reject.key) == (kind, "read", f"rows.parquet#{reject.index}")
        assert reason in reject.message


def test_a_corrupt_page_costs_its_own_row_group_only(tmp_path: Path) -> None:
    data = bytearray(
        parquet_bytes([png(i) for i in range(30)], [1] * 30, group=10, write_page_checksum=True, use_dictionary=False)
    )
    chunk = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(1)
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0xFF
    (rows,), rejects = _read_all(write(tmp_path / "rows.parquet", bytes(data)))
    assert rows.indices.tolist() == [*range(10), *range(20, 30)]
    assert {r.index for r in rejects} == set(range(10, 20))
    assert all(r.error_class == "UnreadableImageError" and "row group 1 is corrupt" in r.message for r in rejects)


class _FlakyFile:
    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > 3:
            raise OSError("connection reset by peer")
        return self._handle.read(size)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


def test_a_fault_of_storage_raises_and_never_turns_rows_into_rejects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_source(ParquetSource(path=str(write(tmp_path / "r.parquet", parquet_bytes([png(0)] * 9, [1] * 9)))))
    (only,) = reader.plan(100)
    real = LocalFileSystem.open
    monkeypatch.setattr(LocalFileSystem, "open", lambda *a, **k: _FlakyFile(real(*a, **k)))
    with pytest.raises(OSError, match="connection reset"):
        reader.read(unfixed(only), SHAPE, 10)


class _CountingFile(_FlakyFile):
    total = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._handle.read(size)
        _CountingFile.total += len(data)
        return data


def test_only_the_columns_and_row_groups_of_a_range_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten row groups of some 1.2 MB each, beside them a column of 10 MB; then one row group of 12 MB in pages of 1."""
    photograph = encoded(pixels(0, 200, 200))
    for group, rows, most in ((10, 10, 1.5e6), (100, 5, 6e6)):
        table = pq.read_table(io.BytesIO(parquet_bytes([photograph] * 100, [1] * 100)))
        ballast = pa.array([np.random.default_rng(i).bytes(100_000) for i in range(100)])
        file = tmp_path / f"{group}.parquet"
        pq.write_table(table.append_column("ballast", ballast), file, row_group_size=group, write_batch_size=5)
        reader = open_source(ParquetSource(path=str(file)))
        part = unfixed(reader.plan(rows)[1])  # a file this new would be hashed
        real = LocalFileSystem.open
        _CountingFile.total = 0
        with monkeypatch.context() as patched:
            patched.setattr(LocalFileSystem, "open", lambda *a, real=real, **k: _CountingFile(real(*a, **k)))
            found, _ = reader.read(part, Image(height=200, width=200, channels=3), 10)
        assert len(found) == rows
        assert _CountingFile.total < most


@given(groups=st.lists(st.integers(0, 50), max_size=20), shard_rows=st.integers(1, 60))
def test_ranges_cover_all_row_groups_once_and_cut_none_that_fits(groups: list[int], shard_rows: int) -> None:
    pieces = list(cut_groups(groups, shard_rows))
    assert [row for start, stop in pieces for row in range(start, stop)] == list(range(sum(groups)))
    assert all(0 < stop - start <= shard_rows for start, stop in pieces)
    begin = 0
    for rows in groups:
        if rows <= shard_rows:
            assert not [start for start, _ in pieces if begin < start < begin + rows]
        begin += rows


def test_class_names_come_from_the_schema_metadata(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", parquet_bytes([png(0)], [0], names=["cat", "dog"]))
    write(tmp_path / "b.parquet", parquet_bytes([png(0)], [0]))
    assert open_source(ParquetSource(path=str(tmp_path))).class_names() == ("cat", "dog")
    assert open_source(ParquetSource(path=str(tmp_path / "b.parquet"))).class_names() is None
    write(tmp_path / "c.parquet", parquet_bytes([png(0)], [0], names=["dog", "cat"]))
    with pytest.raises(JobError, match=r"a.parquet and c.parquet name different classes"):
        open_source(ParquetSource(path=str(tmp_path))).class_names()
    assert open_source(ParquetSource(path=str(file))).name == str(file)


def test_files_that_datasets_wrote_are_read_with_their_class_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"img": datasets.Image(), "fine": datasets.ClassLabel(names=["x", "y"])})
    rows = [{"img": {"bytes": png(i), "path": None}, "fine": i % 2} for i in range(5)]
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "train.parquet")
    reader = open_source(ParquetSource(path=str(tmp_path), image="img", label="fine"))
    assert reader.class_names() == ("x", "y")
    assert reader.probe() == SHAPE
    found, rejects = reader.read(reader.plan(10)[0], SHAPE, 2)
    assert (found.labels.tolist(), rejects) == ([0, 1, 0, 1, 0], [])


def test_plain_binary_images_and_small_labels_are_read(tmp_path: Path) -> None:
    columns = {"image": pa.array([png(0), png(1)], pa.large_binary()), "label": pa.array([1, None], pa.uint8())}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    (rows,), (reject,) = _read_all(tmp_path / "x.parquet")
    assert rows.sha256 == (image_sha256(pixels(0)),)
    assert reject.error_class == "LabelError"


WRONG = {
    "image missing": ({"image": "img"}, r"source.image: no column 'img' in x.parquet; it has: id, image, label"),
    "label missing": ({"label": "class"}, r"source.label: no column 'class' in x.parquet; it has: id, image, label"),
    "image is a number": (
        {"image": "id"},
        r"source.image: column 'id' in x.parquet is int64; wants struct.*columns are",
    ),
    "label is an image": (
        {"label": "image"},
        r"source.label: column 'image' in x.parquet is struct.*wants whole numbers or names",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_column_is_answered_with_those_there_are(case: str, tmp_path: Path) -> None:
    options, message = WRONG[case]
    reader = open_source(
        ParquetSource(path=str(write(tmp_path / "x.parquet", parquet_bytes([png(0)], [0]))), **options)
    )
    for call in (reader.probe, reader.class_names, lambda: reader.plan(10)):
        with pytest.raises(JobError, match=message):
            call()


def test_a_struct_without_bytes_is_no_image(tmp_path: Path) -> None:
    column = pa.array([{"path": "x.png"}], pa.struct([("path", pa.string())]))
    pq.write_table(pa.table({"image": column, "label": [0]}), tmp_path / "x.parquet")
    with pytest.raises(JobError, match=r"source.image.*wants struct<bytes"):
        open_source(ParquetSource(path=str(tmp_path / "x.parquet"))).plan(10)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", parquet_bytes([png(0)], [0]))
    write(tmp_path / "b.parquet", parquet_bytes([png(0)], [0])[:-20])
    with pytest.raises(JobError, match=r"source.path: b.parquet is no Parquet file, or is truncated: .*whole file"):
        open_source(ParquetSource(path=str(tmp_path), unreadable="fail")).plan(10)


def test_a_new_file_changes_no_other_file(tmp_path: Path) -> None:
    for name in ("a", "c"):
        write(tmp_path / f"{name}.parquet", parquet_bytes([png(i) for i in range(9)], [0] * 9, group=3))
    reader = open_source(ParquetSource(path=str(tmp_path)))
    before = reader.plan(3)
    write(tmp_path / "b.parquet", parquet_bytes([png(50)], [0]))
    after = open_source(ParquetSource(path=str(tmp_path))).plan(3)
    assert [r for r in after if r.file != "b.parquet"] == before
    assert [r.rows for r in after if r.file == "b.parquet"] == [1]
    write(tmp_path / "a.parquet", parquet_bytes([png(i) for i in range(9)], [1] * 9, group=3))
    changed = open_source(ParquetSource(path=str(tmp_path))).plan(3)
    assert [r for r in changed if r in after] == after[3:]


def test_differing_sizes_need_a_size(tmp_path: Path) -> None:
    images = [b"junk", png(0), png(1), png(2, 8, 9)]
    file = write(tmp_path / "x.parquet", parquet_bytes(images, [0] * 4))
    message = r"source.size: .*x.parquet#1 is 6 x 5 and x.parquet#3 is 8 x 9 \(height x width\); set source.size"
    with pytest.raises(JobError, match=message):
        open_source(ParquetSource(path=str(file))).probe()
    (rows,), rejects = _read_all(file, open_source(ParquetSource(path=str(file), size=4)).probe(), size=4)
    assert rows.pixels.shape == (3, 4, 4, 3)
    assert len(rejects) == 1


def test_nothing_readable_is_said_with_the_first_reason(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", parquet_bytes([b"junk"] * 300, [0] * 300))
    with pytest.raises(JobError, match=r"none of the first rows can be read; x.parquet#0: .*no image"):
        open_source(ParquetSource(path=str(file))).probe()


def test_no_rows_at_all_is_said(tmp_path: Path) -> None:
    empty = pa.table({"image": pa.array([], IMAGE_TYPE), "label": pa.array([], pa.int64())})
    pq.write_table(empty, tmp_path / "x.parquet")
    reader = open_source(ParquetSource(path=str(tmp_path)))
    for call in (reader.probe, lambda: reader.plan(10)):
        with pytest.raises(JobError, match="holds no rows"):
            call()


def test_any_fsspec_url_will_do(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/hardset-test/data/test-0.parquet", parquet_bytes([png(0)], [0]))
    for path in ("memory://hardset-test/data", "memory://hardset-test/*/*.parquet"):
        reader = open_source(ParquetSource(path=path))
        (only,) = reader.plan(10)
        assert (reader.name, only.split) == (path, "test")
        assert reader.read(only, reader.probe(), 1)[0].sha256 == (image_sha256(pixels(0)),)
    memory.rm("/hardset-test", recursive=True)


def test_a_row_group_that_unfolds_beyond_the_limit_is_refused_by_its_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bomb.parquet"
    image = pa.array([{"bytes": b"\0" * (8 << 20), "path": None}] * 4, IMAGE_TYPE)
    pq.write_table(
        pa.table({"image": image, "label": pa.array([0] * 4)}), file, compression="zstd", use_dictionary=False
    )
    assert file.stat().st_size < 20_000
    monkeypatch.setenv("HARDSET_ROW_GROUP_GIB", "0.01")
    with pytest.raises(JobError, match=r"bomb\.parquet: row group 0 unfolds to .* more than HARDSET_ROW_GROUP_GIB"):
        open_source(ParquetSource(path=str(file))).plan(10)
    small = pa.array([{"bytes": png(0), "path": None}] * 4, IMAGE_TYPE)
    text = pa.array(["x" * (8 << 20)] * 4)
    pq.write_table(
        pa.table({"image": small, "label": pa.array([0] * 4), "text": text}),
        file,
        compression="zstd",
        use_dictionary=False,
    )
    assert open_source(ParquetSource(path=str(file))).plan(10), "of columns that are not read nothing unfolds"
    with pytest.raises(JobError, match=r"bomb\.parquet: row group 0 unfolds to .* more than HARDSET_ROW_GROUP_GIB"):
        open_source(ParquetSource(path=str(file), keep={"text": "text"})).plan(10)


@pytest.mark.slow
def test_copies_of_a_large_value_are_decoded_few_at_a_time_and_end_in_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dictionary of one value of 64 MiB stands for all rows in kilobytes."""
    file = tmp_path / "copies.parquet"
    value = b"\0" * (64 << 20)
    image = pa.array([{"bytes": value, "path": None}] * 20, IMAGE_TYPE)
    table = pa.table({"image": image, "label": pa.array([0] * 20)})
    pq.write_table(table, file, compression="zstd", dictionary_pagesize_limit=1 << 30)
    del table
    monkeypatch.setenv("HARDSET_VALUE_MIB", "32")
    assert file.stat().st_size < 100_000
    assert _rows_at_once(pq.read_metadata(file).row_group(0), "image") == 7
    reader = open_source(ParquetSource(path=str(file)))
    (part,) = reader.plan(100)
    rows, rejects = reader.read(part, Image(height=8, width=8, channels=1), 10)
    assert (len(rows), len(rejects)) == (0, 20)
    assert {reject.error_class for reject in rejects} == {"ImageTooLargeError"}
    assert "more than HARDSET_VALUE_MIB allows (32)" in rejects[0].message


def test_columns_of_cifar_100_are_taken_and_told(tmp_path: Path) -> None:
    data = parquet_bytes([png(0), png(1)], [1, 0], names=["a", "b"], image="img", label="fine_label")
    table = pq.read_table(io.BytesIO(data)).append_column("coarse_label", pa.array([0, 0]))
    pq.write_table(table, tmp_path / "train.parquet")
    reader = open_source(ParquetSource(path=str(tmp_path)))
    assert (reader.class_names(), reader.probe()) == (("a", "b"), SHAPE)
    assert reader.read(reader.plan(9)[0], SHAPE, 2)[0].labels.tolist() == [1, 0]
    assert warnings_of(reader) == (
        "source.image: no column 'image', so 'img' is taken; name it to be sure",
        "source.label: no column 'label', so 'fine_label' is taken; name it to be sure",
    )
    coarse = open_source(ParquetSource(path=str(tmp_path), label="coarse_label"))
    assert coarse.read(coarse.plan(9)[0], SHAPE, 2)[0].labels.tolist() == [0, 0]
    with pytest.raises(JobError, match=r"source\.label: no column 'fine' in train\.parquet; it has: id, img"):
        open_source(ParquetSource(path=str(tmp_path), label="fine")).plan(9)
