"""Real images: photographs of mixed sizes and JPEG thumbnails, against Pillow's own reading."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource, ParquetSource
from hardset.schemas.records import run as records
from tests.sources.making import write


def _reference(data: bytes, size: int) -> np.ndarray:
    """The preprocessing with which the published models were measured."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    scale = round(size / 0.875) / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def test_photographs_of_mixed_sizes(shared_data: Path) -> None:
    path = shared_data / "imagenet250.parquet"
    with pytest.raises(JobError, match=r"source.size: rows differ in size"):
        open_source(ParquetSource(path=str(path))).probe()
    reader = open_source(ParquetSource(path=str(path), size=128, limit=100))
    image = reader.probe()
    assert image == records.Image(height=128, width=128, channels=3)
    names = reader.class_names()
    assert names is not None
    assert len(names) == 1000
    reads = [reader.read(r, image, 1000) for r in reader.plan(30)]
    assert not [reject for _, rejects in reads for reject in rejects]
    stored = [row["bytes"] for row in pq.read_table(path)["image"].slice(0, 100).to_pylist()]
    found = np.concatenate([rows.pixels for rows, _ in reads])
    np.testing.assert_array_equal(found, np.stack([_reference(data, 128) for data in stored]))


def test_the_same_photographs_in_folders_give_the_same_rows(shared_data: Path, tmp_path: Path) -> None:
    table = pq.read_table(shared_data / "imagenet250.parquet").slice(0, 40).to_pylist()
    for row in table:
        write(tmp_path / f"{row['label']:04}" / "photograph.JPEG", row["image"]["bytes"])
    reader = open_source(ImageFolderSource(path=str(tmp_path), size=(96, 128)))
    image = reader.probe()
    reads = [reader.read(r, image, 40)[0] for r in reader.plan(10)]
    parquet = open_source(ParquetSource(path=str(shared_data / "imagenet250.parquet"), size=(96, 128), limit=40))
    (other,) = [parquet.read(r, image, 1000)[0] for r in parquet.plan(40)]
    assert sorted(digest for rows in reads for digest in rows.sha256) == sorted(other.sha256)


def test_jpeg_thumbnails_with_class_names(shared_data: Path) -> None:
    path = shared_data / "cifar10_test_jpeg.parquet"
    reader = open_source(ParquetSource(path=str(path), limit=1300))
    assert (reader.class_names() or ())[:2] == ("airplane", "automobile")
    image = reader.probe()
    plan = reader.plan(700)
    assert [(r.split, r.start, r.stop) for r in plan] == [("test", 0, 500), ("test", 500, 1000), ("test", 1000, 1300)]
    found = np.concatenate([reader.read(r, image, 10)[0].pixels for r in plan])
    stored = [row["bytes"] for row in pq.read_table(path)["image"].slice(0, 1300).to_pylist()]
    np.testing.assert_array_equal(found, np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in stored]))
