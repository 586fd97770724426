"""The job files under examples/ are jobs, say what runs them, and make rows where nothing they name is missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command

from hardset.jobs.app import app
from hardset.pipeline.hardening.loop import harden
from hardset.pipeline.planning.plan import make_plan
from hardset.schemas.job.evaluation import load_evaluation
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.reading.loading import load_job
from tests.hardening.examples import loop_job, made_here
from tests.sources.making import png, write
from tests.support import make_here

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_job_file_is_valid_and_warns_of_nothing(file: Path) -> None:
    if file.stem.startswith("evaluate"):
        assert load_evaluation(file).models
    else:
        assert job_warnings(load_job(file)) == ()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_job_file_names_a_command_that_there_is(file: Path) -> None:
    lines = re.findall(r"^#     hardset (.*)", file.read_text(encoding="utf-8"), re.MULTILINE)
    verbs = get_command(app).commands
    assert lines
    for name, path, *options in map(str.split, lines):
        known = {option for parameter in verbs[name].params for option in parameter.opts}
        assert EXAMPLES.parent / path == file
        assert {option for option in options if option.startswith("--")} <= known


def test_augmentation_alone_makes_its_rows(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "photos" / "train" / "ab"[number % 2] / f"{number}.png", png(number, 80, 70))
    overrides = [f"source.path={tmp_path / 'photos'}", f"output.path={tmp_path / 'out'}"]
    manifest = make_here(load_job(EXAMPLES / "augment_only.yaml", overrides))
    assert manifest.totals.rows_out == 6 * 4


def test_sampling_makes_its_rows(weights: dict[str, str], tmp_path: Path) -> None:
    overrides = [
        f"recipes.0.generator.weights={weights['generator']}",
        "recipes.0.per_class=3",
        f"output.path={tmp_path}",
    ]
    assert make_here(load_job(EXAMPLES / "sample_gan.yaml", overrides)).totals.rows_out == 30


def test_a_loop_of_a_training_method_of_ones_own_runs(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "extending"))
    (text,) = re.findall(r"^    train: (.*)", (EXAMPLES / "extending" / "training_method.py").read_text("utf-8"), re.M)
    train = yaml.safe_load(text) | {"epochs": 1, "batch": 64, "rate": 1e-3}
    measured = [{"name": "pgd", "eps": "0.1", "steps": 2}]
    rounds = {"rounds": 1, "validation": {"fraction": 0.1}, "attacks": measured}
    job = loop_job(weights, tmp_path, train=train, harden=rounds)
    (only,) = harden(job, make=made_here).home.rounds()
    assert np.isfinite(only.loss)
    assert only.training_gradients > 0 and only.rows_made == 0


def test_the_examples_of_extensions_say_how_a_job_names_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "extending"))
    lines = [f"0,{','.join(['7'] * 784)}\n", f"1,{','.join(['9'] * 784)}\n"]
    write(tmp_path / "digits" / "train.csv", "".join(lines).encode())
    (source,) = re.findall(r"^    source: (.*)", (EXAMPLES / "extending" / "source.py").read_text("utf-8"), re.M)
    (recipe,) = re.findall(r"^      - (.*)", (EXAMPLES / "extending" / "augmentation.py").read_text("utf-8"), re.M)
    document = {
        "name": "extended",
        "source": yaml.safe_load(source) | {"path": str(tmp_path / "digits")},
        "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "arguments": {"side": 28}, "classes": 10},
        "recipes": [yaml.safe_load(recipe)],
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    job = load_job(tmp_path / "job.yaml")
    assert len(make_plan(job).shards) == 1
    assert make_here(job).totals.rows_out == 2
