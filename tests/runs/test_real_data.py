"""Real photographs and published models, run as a user would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support import hardset, last_json

WriteJob = Callable[..., Path]
PGD = {"kind": "attack", "name": "pgd", "norm": "linf", "steps": 4}
IMAGENET = {"mean": [128 / 255] * 3, "std": [128 / 255] * 3}
CIFAR = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.slow
def test_photographs_of_mixed_sizes_and_a_published_model(
    shared_data: Path, write_job: WriteJob, tmp_path: Path
) -> None:
    weights = str(shared_data / "weights" / "mobilenet_v1_0.25_128.safetensors")
    job = write_job(
        source={"format": "parquet", "path": str(shared_data / "imagenet250.parquet"), "size": 128, "limit": 60},
        model={
            "factory": "hardset.pipeline.models.zoo:mobilenet_v1",
            "weights": weights,
            "classes": 1000,
            "normalize": IMAGENET,
        },
        recipes=[PGD | {"eps": "2/255"}],
    )
    done = hardset("generate", job, "--json")
    assert done.returncode == 0, done.stderr
    totals = last_json(done)["totals"]
    assert totals["rows_out"] == 60
    # All 1,000 photographs of the origin: 45.8 % right when clean, 0 % after PGD-20 at this budget.
    assert 15 <= totals["attacked"] <= 40
    assert totals["success"] >= 0.9 * totals["attacked"]
    assert hardset("verify", tmp_path / "out", "--all", "--trust-code").returncode == 0


def test_a_folder_of_real_jpegs(shared_data: Path, write_job: WriteJob, tmp_path: Path) -> None:
    rows = pq.ParquetFile(shared_data / "cifar10_test_jpeg.parquet").read_row_group(0).slice(0, 80).to_pylist()
    for number, row in enumerate(rows):
        folder = tmp_path / "jpegs" / f"class{row['label']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03d}.jpg").write_bytes(row["image"]["bytes"])
    job = write_job(
        source={"format": "imagefolder", "path": str(tmp_path / "jpegs")},
        model={
            "factory": "hardset.pipeline.models.zoo:cifar_resnet20",
            "weights": str(shared_data / "weights" / "cifar_resnet20.safetensors"),
            "classes": 10,
            "normalize": CIFAR,
        },
        recipes=[PGD | {"eps": "8/255"}],
    )
    done = hardset("generate", job, "--json")
    assert done.returncode == 0, done.stderr
    totals = last_json(done)["totals"]
    assert totals["rows_out"] == 80
    assert totals["attacked"] >= 56
    assert totals["success"] >= 0.95 * totals["attacked"]
