"""`hardset init`: from images and a model to a job file that runs, and one sentence for what does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import tensor

from hardset.schemas.job.evaluation import load_evaluation
from hardset.schemas.job.purposes import Purpose
from hardset.schemas.reading.loading import load_job
from tests.support import hardset


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folders(place: Path, *sizes: int) -> None:
    """Class folders cat and dog of an image of each size."""
    for name, value in (("cat", 60), ("dog", 200)):
        (place / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            Image.fromarray(np.full((size, size + number % 2, 3), value, np.uint8)).save(place / name / f"{number}.png")


def written() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(Path("job.yaml").read_text())
    return document


def test_without_arguments_it_writes_the_template(tmp_path: Path) -> None:
    assert hardset("init").returncode == 0
    assert load_job("job.yaml").source.format == "digits"
    refused = hardset("init", "other.yaml", "--for", "harden")
    assert refused.returncode == 2
    assert "--data" in refused.stderr
    assert not Path("other.yaml").exists()


@pytest.mark.parametrize("purpose", [Purpose.AUGMENT, Purpose.HARDEN])
def test_class_folders_without_a_model(tmp_path: Path, purpose: Purpose) -> None:
    folders(tmp_path / "photos", 40, 70)
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("no image")
    done = hardset("init", "--data", "photos", "--for", purpose)
    assert done.returncode == 0, done.stderr
    assert "4 images in 2 class folders" in done.stdout
    assert done.stdout.rstrip().endswith(
        "hardset harden job.yaml" if purpose is Purpose.HARDEN else "generate job.yaml"
    )
    source = written()["source"]
    assert source == {"format": "imagefolder", "path": "photos", "exclude": ["*.txt"], "size": 32}
    assert hardset("plan", "job.yaml").returncode == 0
    assert "cat, dog" in Path("job.yaml").read_text()


def test_an_augment_job_runs_as_it_is_written(tmp_path: Path) -> None:
    folders(tmp_path / "wrapped" / "photos", 8, 8)
    assert hardset("init", "--data", "wrapped", "--set", "source.size=8").returncode == 0
    job = load_job("job.yaml", ["run.actors=1"])
    assert (job.source.path, job.name) == ("wrapped/photos", "wrapped")  # type: ignore[attr-defined]
    done = hardset("generate", "job.yaml", "--set", "run.actors=1")
    assert done.returncode == 0, done.stderr
    assert "holds 8 rows" in done.stdout


def test_arrays_of_other_names_are_found_or_named(tmp_path: Path) -> None:
    images, labels = np.zeros((12, 8, 8), np.uint8), np.arange(12) % 3
    np.savez("known.npz", x_train=images, y_train=labels)
    np.savez("other.npz", pictures=images, kinds=labels)
    classes = ("--set", "source.classes=[a,b,c]")
    assert hardset("init", "--data", "known.npz", *classes).returncode == 0
    assert written()["source"] == {
        **{"format": "npz", "path": "known.npz", "classes": ["a", "b", "c"]},
        **{"images": "x_train", "labels": "y_train"},
    }
    refused = hardset("init", "other.yaml", "--data", "other.npz", *classes)
    assert refused.returncode == 2
    assert "it has: kinds, pictures; name it: --set source.images=NAME" in refused.stderr
    named = ("--set", "source.images=pictures", "--set", "source.labels=kinds")
    assert hardset("init", "other.yaml", "--data", "other.npz", *named, *classes).returncode == 0
    assert load_job("other.yaml").source.labels == "kinds"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "flat"], "holds 2 images in no class folders, so nothing tells their labels; move each into"),
        (["--data", "nowhere"], "is empty, or not there; wants a folder of class folders"),
        (["--data", "gone.npz"], "is not there"),
        (["--data", "digits", "--for", "robustness"], "needs a model to attack; name one with --model"),
        (["--data", "digits", "--weights", "a.pt"], "--weights: needs --model"),
        (
            ["--data", "digits", "--model", "net.pt"],
            "name what builds the network with --model package.module:function",
        ),
        (["--data", "digits", "--model", "no_such_module:net"], "no_such_module"),
        (["--data", "digits", "--set", "run.actors=3"], "init takes settings of source and model"),
        (["--data", "digits", "--set", "source=3"], "such as source.KEY=VALUE"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "flat").mkdir()
    for number in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / "flat" / f"{number}.jpg")
    done = hardset("init", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not Path("job.yaml").exists()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    Path("job.yaml").write_text("mine")
    assert hardset("init", "--data", "digits").returncode == 2
    assert Path("job.yaml").read_text() == "mine"


MODEL = ("--model", "hardset.pipeline.models.zoo:small_cnn", "--weights")


def test_a_robustness_job_of_a_model_is_measured_and_validates(weights: dict[str, str]) -> None:
    done = hardset("init", "--data", "digits", *MODEL, weights["victim"], "--for", "robustness")
    assert done.returncode == 0, done.stderr
    assert re.search(r"The model is right on [89]\d\.\d % .* of 256 sampled rows", done.stdout)
    assert done.stdout.rstrip().endswith("next: hardset evaluate job.yaml")
    job = load_evaluation("job.yaml")
    assert (job.classes, job.models[0].weights) == (10, weights["victim"])
    assert str(job.source.limit.rows) == "1000"  # type: ignore[union-attr]


def test_a_normalisation_that_the_checkpoint_carries_is_written(weights: dict[str, str], tmp_path: Path) -> None:
    state = {f"net.{key}": value for key, value in load_file(weights["victim"]).items()}
    save_file({**state, "mean": tensor([0.25]), "std": tensor([0.5])}, "wrapped.safetensors")
    done = hardset("init", "--data", "digits", *MODEL, "wrapped.safetensors")
    assert done.returncode == 0, done.stderr
    assert "(carried by the checkpoint)" in done.stdout
    assert written()["model"]["normalize"] == {"mean": [0.25], "std": [0.5]}
    assert hardset("plan", "job.yaml").returncode == 0


def test_an_order_of_classes_that_makes_far_more_rows_right_is_written(weights: dict[str, str]) -> None:
    order = [3, 2, 1, 0, 5, 4, 8, 6, 9, 7]
    state = load_file(weights["victim"])
    last = [key for key, value in state.items() if value.shape[:1] == (10,)]
    save_file(
        {key: value[np.argsort(order)] if key in last else value for key, value in state.items()}, "other.safetensors"
    )
    done = hardset("init", "--data", "digits", *MODEL, "other.safetensors")
    assert done.returncode == 0, done.stderr
    assert f"Set model.output_order: {order} (found by trying" in done.stdout
    assert re.search(r"The model is right on [89]\d", done.stdout)
    assert written()["model"]["output_order"] == order
