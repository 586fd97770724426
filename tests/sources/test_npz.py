"""Arrays: only the rows asked for are read, nothing is unpickled, wrong arrays are named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import NpzSource
from hardset.schemas.records.run import Image
from tests.sources.making import npz_bytes, pixels, write

GREY = np.stack([pixels(i, 4, 4, 1)[..., 0] for i in range(10)])
LABELS = np.arange(10, dtype=np.uint8)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_all_layouts_are_read(channels: int | None, order: str, tmp_path: Path) -> None:
    images = GREY if channels is None else np.stack([pixels(i, 4, 4, channels) for i in range(10)])
    write(tmp_path / "x.npz", npz_bytes(np.asarray(images, order=order), LABELS))
    reader = open_source(NpzSource(path=str(tmp_path / "x.npz")))
    image = reader.probe()
    assert image == Image(height=4, width=4, channels=3 if channels in (3, 4) else 1)
    rows, rejects = reader.read(reader.plan(4)[1], image, 10)
    assert not rejects
    assert rows.labels.tolist() == [4, 5, 6, 7]
    assert rows.keys == tuple(f"x.npz#{i}" for i in range(4, 8))
    assert reader.class_names() is None
    if channels in (None, 1, 3):
        np.testing.assert_array_equal(rows.pixels.reshape(images[4:8].shape), images[4:8])


PLANAR = np.zeros((5, 3, 8, 8), np.uint8)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no images": ({"labels": LABELS}, r"source.images: no array 'images' in x.npz; it has: labels"),
    "no labels": ({"images": GREY}, r"source.labels: no array 'labels' in x.npz; it has: images"),
    "floats": ({"images": GREY / 255, "labels": LABELS}, r"source.images: images in x.npz is float64; wants uint8"),
    "flat": ({"images": GREY.reshape(10, 16), "labels": LABELS}, r"source.images: .*shape \(10, 16\); wants N x H x W"),
    "channels first": (
        {"images": PLANAR, "labels": LABELS[:5]},
        r"source.images: .*C in 1 to 4",
    ),
    "too few labels": ({"images": GREY, "labels": LABELS[:9]}, r"source.labels: .*\(9,\); wants 10 whole numbers"),
    "dates": (
        {"images": GREY, "labels": LABELS.astype("M8[D]")},
        r"source.labels: labels in x.npz is datetime64\[D\] of shape \(10,\); wants 10 whole numbers or names",
    ),
    "objects": ({"images": GREY, "labels": np.array([{}] * 10, object)}, r"source.labels: .*unpickled"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_array_is_named(case: str, tmp_path: Path) -> None:
    arrays, message = WRONG[case]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    reader = open_source(NpzSource(path=str(write(tmp_path / "x.npz", buffer.getvalue()))))
    for call in (reader.probe, lambda: reader.plan(5)):
        with pytest.raises(JobError, match=message):
            call()


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.npz", npz_bytes(GREY, LABELS)[:-30])
    with pytest.raises(JobError, match=r"source.path: x.npz is no .npz file, or is truncated"):
        open_source(NpzSource(path=str(file))).plan(5)


def test_corrupt_rows_are_rejects_and_those_before_survive(tmp_path: Path) -> None:
    images = np.stack([pixels(i, 64, 64, 3) for i in range(30)])
    data = bytearray(npz_bytes(images, np.zeros(30, int), compressed=True))
    member = zipfile.ZipFile(io.BytesIO(bytes(data))).getinfo("images.npy")
    middle = member.header_offset + member.compress_size // 2
    data[middle : middle + 2000] = b"\xff" * 2000
    reader = open_source(NpzSource(path=str(write(tmp_path / "x.npz", bytes(data)))))
    (part,) = reader.plan(100)
    rows, rejects = reader.read(part, Image(height=64, width=64, channels=3), 1)
    assert len(rows) > 0
    assert [*rows.indices, *(r.index for r in rejects)] == list(range(30))
    assert {r.error_class for r in rejects} == {"UnreadableImageError"}
    np.testing.assert_array_equal(rows.pixels[:10], images[:10])
