"""`hardset verify --against SOURCE` names the rows whose source is not what it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from PIL import Image

from tests.support import hardset, job_of, last_json, make_here

AUGMENT = {"kind": "augment", "ops": [{"name": "rotate", "degrees": 15}], "variants": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images each of two classes."""
    rng = np.random.default_rng(0)
    for number in range(12):
        file = tmp_path / "source" / ("cats" if number % 2 else "dogs") / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    return tmp_path / "source"


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Twelve images in one file."""
    rng = np.random.default_rng(0)
    file = tmp_path / "source" / "rows.npz"
    file.parent.mkdir()
    np.savez(file, images=rng.integers(0, 256, (12, 8, 8, 1), np.uint8), labels=np.arange(12) % 10)
    return file


def made(source: dict[str, Any], out: Path, weights: dict[str, str], model: bool) -> Path:
    """A run on the source."""
    sections = {} if model else {"model": None}
    job = job_of(weights, out, source=source, recipes=[AUGMENT], output={"path": str(out), "shard_rows": 4}, **sections)
    make_here(job)
    return out


def faults(out: Path, source: Path | str) -> list[str]:
    done = hardset("verify", out, "--sample", "0", "--against", source, "--json")
    found: list[str] = last_json(done)["faults"]
    assert done.returncode == (1 if found else 0)
    return found


def rows_from(out: Path, key: str) -> list[str]:
    rows = ds.dataset(out / "data", format="parquet").to_table(columns=["row_id", "source_key"]).to_pylist()
    return sorted(row["row_id"] for row in rows if row["source_key"] == key)


def named(found: list[str], what: str) -> list[str]:
    return sorted(fault.split(" row ")[1].split(":")[0] for fault in found if what in fault)


def test_images_that_changed_or_vanished_are_named(folder: Path, tmp_path: Path, weights: dict[str, str]) -> None:
    out = made({"format": "imagefolder", "path": str(folder)}, tmp_path / "out", weights, model=False)
    assert faults(out, folder) == []
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert faults(out, moved) == []
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(moved / "cats" / "03.png")
    (moved / "dogs" / "04.png").unlink()
    (moved / "dogs" / "06.png").write_bytes(b"no image")
    found = faults(out, moved)
    assert named(found, "has changed since") == rows_from(out, "cats/03.png")
    assert named(found, "cannot be read") == rows_from(out, "dogs/04.png")
    assert named(found, "UnreadableImageError") == rows_from(out, "dogs/06.png")
    assert len(found) == 6


def test_the_same_pixels_in_other_files_are_no_change(folder: Path, tmp_path: Path, weights: dict[str, str]) -> None:
    out = made({"format": "imagefolder", "path": str(folder)}, tmp_path / "out", weights, model=False)
    for file in folder.glob("*/*.png"):
        Image.open(file).save(file, compress_level=1)
    assert faults(out, folder) == []


def test_a_row_of_an_array_that_changed_is_named(npz: Path, tmp_path: Path, weights: dict[str, str]) -> None:
    out = made({"format": "npz", "path": str(npz)}, tmp_path / "out", weights, model=True)
    with np.load(npz) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    images[5, 0, 0, 0] ^= 1
    np.savez(npz, images=images, labels=labels)
    found = faults(out, npz)
    assert named(found, "has changed since") == rows_from(out, f"{npz.name}#5")
    assert len(found) == 2
    npz.unlink()
    assert len(faults(out, npz)) == 24


def test_bundled_rows_are_named_by_their_format(tmp_path: Path, weights: dict[str, str]) -> None:
    out = made({"format": "digits", "limit": 8}, tmp_path / "out", weights, model=True)
    assert faults(out, "digits") == []
    done = hardset("verify", out, "--against", tmp_path)
    assert done.returncode == 2
    assert "--against" in done.stderr
