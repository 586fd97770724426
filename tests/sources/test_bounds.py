"""Bounds on what a file unfolds to, held before anything is unfolded; and what is never unpickled."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError, UserError
from hardset.schemas.job.sources import ImageFolderSource, ImageSource, NpzSource
from hardset.schemas.records.run import Image
from tests.sources.making import npz_bytes, pixels, png, write
from tests.sources.test_unreadable import job_of

SHAPE = Image(height=6, width=5, channels=3)


def npz_of(member: bytes, *, folded: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if folded else zipfile.ZIP_STORED) as archive:
        archive.writestr("images.npy", member)
        archive.writestr("labels.npy", npy(np.zeros(4, np.int64)))
    return buffer.getvalue()


def npy(array: np.ndarray, shape: tuple[int, ...] | None = None, *, fortran: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": array.dtype.str, "fortran_order": fortran, "shape": shape or array.shape}
    )
    return buffer.getvalue() + array.tobytes()


BOMBS = {
    "says more than it holds": (lambda: npz_of(npy(pixels(0)[None], (4, 10**6, 10**6))), r"says \(4, .*and it holds"),
    "unfolds to too much": (lambda: npz_of(npy(np.zeros((4, 512, 1024), np.uint8))), "unfolds to .* HARDSET_ARRAY_GIB"),
    "is to be turned as a whole": (
        lambda: npz_of(npy(np.zeros((4, 512, 1024), np.uint8), fortran=True), folded=False),
        "unfolds to .* HARDSET_ARRAY_GIB",
    ),
    "has huge rows": (lambda: npz_of(npy(np.zeros((1, 2048, 2048), np.uint8)), folded=False), "HARDSET_VALUE_MIB"),
    "less than nothing": (lambda: npz_of(npy(pixels(0)[None], (-4, 6, 5, 3))), "is no array"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_arrays_are_bounded_before_they_are_unfolded(case: str, tmp_path: Path, monkeypatch) -> None:
    made, message = BOMBS[case]
    monkeypatch.setenv("HARDSET_VALUE_MIB", "2")
    monkeypatch.setenv("HARDSET_ARRAY_GIB", "0.001")
    write(tmp_path / "x.npz", made())
    monkeypatch.setattr("zipfile.ZipExtFile.read1", None)
    with pytest.raises(JobError, match=message):
        open_source(NpzSource(path=str(tmp_path / "x.npz"))).plan(9)


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    np.savez(tmp_path / "x.npz", images=np.array([Bomb()] * 4, dtype=object), labels=np.zeros(4, np.int64))
    with pytest.raises(JobError, match="it holds Python objects, which would have to be unpickled"):
        open_source(NpzSource(path=str(tmp_path / "x.npz"))).plan(9)
    assert not (tmp_path / "ran").exists()


def test_large_members_are_quarantined_without_being_read_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HARDSET_VALUE_MIB", "0.001")
    write(tmp_path / "a" / "big.png", png(0) + bytes(10**6))
    write(tmp_path / "a" / "small.png", png(1))
    reader = open_source(ImageFolderSource(path=str(tmp_path)))
    (part,) = reader.plan(9)
    rows, (reject,) = reader.read(part, SHAPE, 1)
    assert rows.keys == ("a/small.png",)
    assert (reject.key, reject.error_class) == ("a/big.png", "ImageTooLargeError")
    assert "HARDSET_VALUE_MIB" in reject.message


@pytest.mark.parametrize(
    "source", [{"size": 10**9}, {"size": [8, 10**20]}, {"limit": 10**20}, {"max_pixels": 10**12}], ids=str
)
def test_numbers_beyond_sense_are_refused(source: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"source\.{next(iter(source))}"):
        job_of(tmp_path, tmp_path / "out", **source)


def test_the_whole_array_of_a_good_file_is_read(tmp_path: Path) -> None:
    images = np.stack([pixels(i) for i in range(4)])
    write(tmp_path / "x.npz", npz_bytes(np.asfortranarray(images), np.arange(4) % 3, compressed=True))
    spec: ImageSource = NpzSource(path=str(tmp_path / "x.npz"))
    reader = open_source(spec)
    (part,) = reader.plan(9)
    np.testing.assert_array_equal(reader.read(part, SHAPE, 3)[0].pixels, images)
