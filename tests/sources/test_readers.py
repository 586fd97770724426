"""What every source promises, whatever its format: all rows once, poison apart, stable keys, the same rows again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardset.pipeline.sources.base import key_of, narrowed
from hardset.pipeline.sources.table import SOURCES, open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import SOURCES as DECLARED
from hardset.schemas.job.sources import DigitsSource, ImageFolderSource, ImageSource, NpzSource, ParquetSource
from hardset.schemas.records.run import Image
from tests.sources.making import npz_bytes, parquet_bytes, pixels, png, write

LABELS = [i % 3 for i in range(37)]


def parquet_source(folder: Path, **options: Any) -> ImageSource:
    """37 rows in two files: 20 in row groups of 7, then 17 in groups of 4."""
    write(folder / "train-0.parquet", parquet_bytes([png(i) for i in range(20)], LABELS[:20], group=7))
    write(folder / "test-0.parquet", parquet_bytes([png(i) for i in range(20, 37)], LABELS[20:], group=4))
    return ParquetSource(path=str(folder), **options)


def folder_source(folder: Path, **options: Any) -> ImageSource:
    """37 rows in three classes and two splits."""
    for i in range(37):
        write(folder / ("train" if i < 20 else "test") / "abc"[i % 3] / f"{i:02}.png", png(i))
    return ImageFolderSource(path=str(folder), **options)


def npz_source(folder: Path, **options: Any) -> ImageSource:
    """37 rows in two files, one compressed."""
    images, labels = np.stack([pixels(i) for i in range(37)]), np.array(LABELS)
    write(folder / "train.npz", npz_bytes(images[:20], labels[:20]))
    write(folder / "test.npz", npz_bytes(images[20:], labels[20:], compressed=True))
    return NpzSource(path=str(folder), **options)


Maker = Callable[..., ImageSource]
MAKERS: dict[str, Maker] = {"parquet": parquet_source, "imagefolder": folder_source, "npz": npz_source}


@pytest.fixture(params=MAKERS, scope="module")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param))


def test_every_format_a_job_can_name_has_a_reader() -> None:
    assert {one.settings for one in SOURCES.values()} == set(DECLARED)
    assert len(SOURCES) == len(DECLARED)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shard_rows=st.integers(1, 45), limit=st.none() | st.integers(1, 45), data=st.data())
def test_every_row_comes_exactly_once_however_it_is_cut(
    source: ImageSource, shard_rows: int, limit: int | None, data: st.DataObject
) -> None:
    reader = open_source(source.model_copy(update={"limit": limit}))
    image = reader.probe()
    plan = reader.plan(shard_rows)
    assert max(r.rows for r in plan) <= shard_rows
    reads = [reader.read(r, image, 3) for r in plan]
    assert not [reject for _, rejects in reads for reject in rejects]
    found = [digest for rows, _ in reads for digest in rows.sha256]
    whole, _ = _all(source)
    assert found == [digest for digest, *_ in whole][: limit or 37]

    part = data.draw(st.sampled_from(plan))
    start = data.draw(st.integers(part.start, part.stop - 1))
    some, _ = open_source(source).read(narrowed(part, start, start + 1), image, 3)
    of_part = reads[plan.index(part)][0]
    assert some.keys == of_part.keys[start - part.start : start - part.start + 1]
    assert some.sha256 == of_part.sha256[start - part.start : start - part.start + 1]
    assert key_of(part, start) == (some.keys[0], some.indices[0])


def _all(source: ImageSource) -> tuple[list[tuple[str, int, str]], Image]:
    reader = open_source(source)
    image = reader.probe()
    reads = [reader.read(r, image, 3)[0] for r in reader.plan(1000)]
    return [row for rows in reads for row in zip(rows.sha256, rows.labels.tolist(), rows.keys, strict=True)], image


def test_rows_are_those_that_were_stored(source: ImageSource) -> None:
    rows, image = _all(source)
    assert image == Image(height=6, width=5, channels=3)
    assert sorted(digest for digest, *_ in rows) == sorted(image_sha256(pixels(i)) for i in range(37))
    assert len({key for *_, key in rows}) == 37
    expected = {image_sha256(pixels(i)): LABELS[i] for i in range(37)}
    assert {digest: label for digest, label, _ in rows} == expected


def test_clean_rows_are_consistent(source: ImageSource) -> None:
    reader = open_source(source)
    rows, _ = reader.read(reader.plan(10)[0], reader.probe(), 3)
    assert rows.pixels.dtype == np.uint8
    assert rows.pixels.shape == (len(rows), 6, 5, 3)
    assert rows.labels.dtype == rows.indices.dtype == np.int64
    assert rows.sha256 == tuple(map(image_sha256, rows.pixels))


def test_a_plan_and_a_read_are_the_same_twice(source: ImageSource) -> None:
    first, second = open_source(source), open_source(source)
    assert first.plan(7) == second.plan(7)
    part = first.plan(7)[1]
    a, b = first.read(part, first.probe(), 3)[0], second.read(part, second.probe(), 3)[0]
    assert (a.keys, a.sha256) == (b.keys, b.sha256)


def test_splits_are_selected_and_train_comes_first(source: ImageSource) -> None:
    assert [r.split for r in open_source(source).plan(1000)] == sorted(
        (r.split for r in open_source(source).plan(1000)), reverse=True
    )
    only = open_source(source.model_copy(update={"splits": ("test",)})).plan(1000)
    assert {r.split for r in only} == {"test"}
    assert sum(r.rows for r in only) == 17
    with pytest.raises(JobError, match=r"source.splits: no split 'dev'; the source has: train, test"):
        open_source(source.model_copy(update={"splits": ("dev",)})).plan(10)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_the_same_bytes_elsewhere_have_the_same_digests(maker: Maker, tmp_path: Path) -> None:
    here, there = maker(tmp_path / "here"), maker(tmp_path / "there" / "deep")
    assert open_source(here).plan(6) == open_source(there).plan(6)


def test_size_and_channels_of_the_job_win(source: ImageSource) -> None:
    asked = source.model_copy(update={"size": (4, 8), "channels": 1})
    reader = open_source(asked)
    assert reader.probe() == Image(height=4, width=8, channels=1)
    rows, rejects = reader.read(reader.plan(9)[0], reader.probe(), 3)
    assert rows.pixels.shape[1:] == (4, 8, 1)
    assert not rejects


def test_labels_the_model_does_not_have_are_rejects(source: ImageSource) -> None:
    reader = open_source(source)
    reads = [reader.read(r, reader.probe(), 2) for r in reader.plan(10)]
    assert sum(len(rows) for rows, _ in reads) == sum(label < 2 for _, label, _ in _all(source)[0])
    for _, rejects in reads:
        found = {(r.stage, r.error_class, r.message) for r in rejects}
        told = "label 2 is not in 0 to 1; set source.label_offset: 1 if labels start at 1"
        assert found <= {("read", "LabelError", told)}


@pytest.mark.parametrize("shard_rows", [13, 100, 2000])
def test_digits_are_those_of_scikit_learn(shard_rows: int) -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    reader = open_source(DigitsSource())
    assert (reader.name, reader.class_names()) == ("digits", tuple("0123456789"))
    plan = reader.plan(shard_rows)
    image = reader.probe()
    assert image == Image(height=8, width=8, channels=1)
    reads = [reader.read(r, image, 10)[0] for r in plan]
    indices = np.concatenate([rows.indices for rows in reads])
    np.testing.assert_array_equal(indices, np.arange(1797))
    expected = np.rint(digits.images * 255 / 16)
    np.testing.assert_array_equal(np.concatenate([rows.pixels for rows in reads])[..., 0], expected)
    np.testing.assert_array_equal(np.concatenate([rows.labels for rows in reads]), digits.target)
    assert [key for rows in reads for key in rows.keys] == [f"digits#{i}" for i in range(1797)]
    assert sum(r.rows for r in plan if r.split == "test") == 360


def test_the_split_of_digits_is_balanced_and_fixed() -> None:
    reader = open_source(DigitsSource(splits=("test",)))
    (only,) = reader.plan(1000)
    assert (only.start, only.stop) == (1437, 1797)
    counts = np.bincount(reader.read(only, reader.probe(), 10)[0].labels)
    assert counts.min() >= 33
    assert counts.max() <= 37


def test_digits_are_resized_and_limited() -> None:
    reader = open_source(DigitsSource(size=28, channels=3, limit=50))
    (only,) = reader.plan(1000)
    rows, rejects = reader.read(only, reader.probe(), 10)
    assert rows.pixels.shape == (50, 28, 28, 3)
    assert not rejects
