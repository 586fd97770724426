"""`train-gan` says how good its generator is; the default settings give rows worth training on."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from hardset.jobs.api.generators import train_generators, training_rows
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.recipes.generator_files import load_generator
from hardset.schemas.job.job import Job
from tests.support import document, hardset, last_json

FIGURES = {"label_agreement", "fd_target", "fd_floor", "precision", "recall", "density", "coverage", "authenticity"}


def job_of(weights: dict[str, str], folder: Path, training: dict[str, object]) -> Job:
    text = document(weights, folder / "out", source={"format": "digits"})
    generator = {"weights": str(folder / "gan.safetensors"), "training": training}
    return Job.model_validate({**text, "recipes": [{"kind": "sample", "generator": generator, "per_class": 1}]})


def test_train_gan_returns_digest_and_quality(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path, {"steps": 3, "features": 8})
    (trained,) = train_generators(job)
    path = str(tmp_path / "gan.safetensors")
    assert (trained.weights, trained.sha256) == (path, load_generator(path, device=torch.device("cpu")).sha256)
    assert trained.quality is not None and trained.quality.keys() == FIGURES


def test_a_model_that_is_not_there_yet_does_not_cost_the_generator(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of({**weights, "victim": str(tmp_path / "later.safetensors")}, tmp_path, {"steps": 1, "features": 8})
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    done = hardset("train-gan", path, "--json")
    assert list(last_json(done)["quality"].values()) == [None]
    assert (tmp_path / "gan.safetensors").is_file()
    assert "not assessed: " in done.stdout


@pytest.fixture(scope="module")
def judge(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A classifier trained on all training digits: the shared one has seen 300."""
    folder = tmp_path_factory.mktemp("judge")
    rows, _ = training_rows(job_of(weights, folder, {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = fit_classifier(small_cnn(), rows.pixels, rows.labels, epochs=15, seed=0)
    safetensors.torch.save_file(module.state_dict(), folder / "judge.safetensors")
    return {"victim": str(folder / "judge.safetensors")}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_settings_give_diverse_digits_of_the_class_asked_for(
    judge: dict[str, str], tmp_path: Path, seed: int
) -> None:
    job = job_of(judge, tmp_path, {}).model_copy(update={"seed": seed})
    (trained,) = train_generators(job)
    figures = trained.quality
    assert figures is not None
    assert figures["label_agreement"] >= 0.95
    assert figures["coverage"] >= 0.6
    assert figures["recall"] >= 0.2
    assert figures["authenticity"] >= 0.3
    assert figures["fd_target"] < 3 * figures["fd_floor"]
