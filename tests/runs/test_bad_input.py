"""The commonest mistakes, by the real command line: one sentence, the right exit code, nothing half-written."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
from PIL import Image

from hardset.jobs.app import run
from hardset.pipeline.models.zoo import small_cnn
from tests.support import RECIPES, hardset, quarantined

WriteJob = Callable[..., Path]


def images_npz(folder: Path, **arrays: Any) -> str:
    """An npz of six grey rows; `arrays` replace or add."""
    path = folder / "rows.npz"
    np.savez(path, **({"images": np.zeros((6, 8, 8), np.uint8), "labels": np.arange(6)} | arrays))
    return str(path)


def png_of(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def labelled_parquet(folder: Path) -> str:
    """A Parquet file whose label column has another name."""
    path = folder / "rows.parquet"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    image = pa.array([{"bytes": png_of(np.zeros((8, 8), np.uint8)), "path": None}], kind)
    pq.write_table(pa.table({"image": image, "verdict": [1]}), path)
    return str(path)


def nan_weights(folder: Path) -> str:
    """The small net with one NaN."""
    state = small_cnn().state_dict()
    next(iter(state.values())).view(-1)[0] = float("nan")
    safetensors.torch.save_file(state, folder / "nan.safetensors")
    return str(folder / "nan.safetensors")


SOFTMAX = """
from torch import nn
from hardset.pipeline.models.zoo import small_cnn

def net():
    return nn.Sequential(small_cnn(), nn.Softmax(1))
"""


def softened(folder: Path) -> dict[str, Any]:
    """A model that ends in a softmax."""
    (folder / "softened.py").write_text(SOFTMAX)
    return {"model": {"factory": "softened:net", "classes": 10}}


CASES: dict[str, tuple[Callable[[Path], dict[str, Any]], list[str]]] = {
    "output inside another store": (
        lambda _: {"output": {"path": "simplecache::s3://bucket/out"}},
        ["output.path", "a store inside another (::)"],
    ),
    "output with too long a name": (
        lambda f: {"output": {"path": str(f / ("n" * 300) / "out")}},
        ["nnn", "File name too long"],
    ),
    "source missing": (lambda f: {"source": {"format": "imagefolder", "path": str(f / "no")}}, ["source.path", "no"]),
    "wrong label column": (
        lambda f: {"source": {"format": "parquet", "path": labelled_parquet(f)}},
        ["source.label", "verdict"],
    ),
    "class count": (
        lambda _: {
            "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "arguments": {"classes": 7}, "classes": 7}
        },
        ["model.classes", "7", "10"],
    ),
    "nan weights": (
        lambda f: {
            "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "weights": nan_weights(f), "classes": 10}
        },
        ["model.weights", "NaN"],
    ),
    "probabilities": (softened, ["probabilities", "softmax"]),
    "wrong shape": (
        lambda f: {"source": {"format": "npz", "path": images_npz(f, images=np.zeros((6, 8, 8, 3), np.uint8))}},
        ["channel"],
    ),
    "array of floats": (
        lambda f: {"source": {"format": "npz", "path": images_npz(f, images=np.zeros((6, 8, 8)))}},
        ["source.images", "uint8"],
    ),
    "output is a file": (lambda f: {"output": {"path": str(a_file(f))}}, ["output.path"]),
    "no generator": (
        lambda f: {"recipes": [*RECIPES, {"kind": "sample", "generator": {"weights": str(f / "g")}, "per_class": 1}]},
        ["recipes.3.generator.weights", "train-gan"],
    ),
    "unknown key": (lambda _: {"recipe": []}, ["recipe", "unknown", "recipes"]),
}


def a_file(folder: Path) -> Path:
    """A file where a folder is wanted."""
    (folder / "taken").write_text("here")
    return folder / "taken"


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_exit_2(
    case: str, write_job: WriteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    changes, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    job = write_job(**changes(tmp_path))
    assert run(["generate", str(job)]) == 2
    printed = capfd.readouterr()
    sentence = printed.err.strip()
    assert len(sentence.splitlines()) == 1, sentence
    assert "Traceback" not in printed.out + printed.err
    for word in words:
        assert word in sentence, sentence
    assert not list((tmp_path / "out").rglob("*.*")), "something was written"


def test_no_job_file_and_bad_arguments(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (
        ["generate", str(tmp_path / "no.yaml")],
        ["generate"],
        ["frobnicate"],
        ["verify", "--sample", "x"],
    ):
        assert run(arguments) == 2, arguments
        assert "Traceback" not in capfd.readouterr().err


def test_folders_that_are_no_dataset(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (["verify"], ["status"], ["report"], ["replay"]):
        line = [*arguments, str(tmp_path), *(["0" * 32] if arguments == ["replay"] else [])]
        assert run(line) == 2, line
        assert "no" in capfd.readouterr().err


def test_a_row_that_does_not_exist(small_dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(small_dataset), "0" * 32]) == 2
    assert "no such row" in capfd.readouterr().err


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 300 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.slow
def test_a_full_disk_ends_with_one_sentence_and_goes_on_later(tiny_disk: Path, write_job: WriteJob) -> None:
    job = write_job(out=tiny_disk / "out", run={"actors": 1, "batch": 64, "max_attempts": 1})
    # The disk may be too full to give the lease back; then only the end of the process frees the output.
    done = hardset("generate", job, own_process=True)
    assert done.returncode == 1, done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tiny_disk.glob("out/_hardset/runs/*/manifest.json"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny_disk)], check=True)
    assert hardset("generate", job).returncode == 0
    assert hardset("verify", tiny_disk / "out").returncode == 0


def test_poison_images_go_to_quarantine_and_take_no_neighbour(write_job: WriteJob, tmp_path: Path) -> None:
    import io

    from PIL import Image

    from hardset.pipeline.sources.table import open_source
    from hardset.schemas.job.sources import DigitsSource

    source = open_source(DigitsSource(limit=40))
    rows, _ = source.read(source.plan(100)[0], source.probe(), 10)
    for i, (pixels, label) in enumerate(zip(rows.pixels, rows.labels, strict=True)):
        folder = tmp_path / "images" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(pixels[:, :, 0]).save(buffer, "PNG")
        data = buffer.getvalue()
        poison = {7: data[: len(data) // 2], 19: b"not an image", 30: b""}
        (folder / f"{i:03d}.png").write_bytes(poison.get(i, data))
    job = write_job(source={"format": "imagefolder", "path": str(tmp_path / "images")})
    done = hardset("generate", job)
    assert done.returncode == 3, done.stderr
    lost = quarantined(tmp_path / "out")
    assert {row["source_key"].rpartition("/")[2] for row in lost} == {"007.png", "019.png", "030.png"}
    assert len(lost) == 3 * (1 + 1 + 2)
    data = pq.ParquetDataset(sorted((tmp_path / "out" / "data").glob("**/*.parquet"))).read()
    assert data.num_rows == 37 * (1 + 1 + 2)
    assert hardset("verify", tmp_path / "out").returncode == 0
