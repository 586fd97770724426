"""Fixtures that several rooms share: real data where it is at hand, a small model, a small dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from hardset.jobs.api.generators import train_generators, training_rows
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.run.generation import generate
from tests.support import document, job_of

pytest_plugins = ["tests.s3"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors gain nothing from more, and Ray's actors beside the tests want the other core."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests, and what they start, leave the user's cache of digests alone."""
    os.environ["HARDSET_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and published weights beside the checkout; the test is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of real data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of a classifier trained on the digits, and of a generator trained for a few steps."""
    return trained_weights(tmp_path_factory.mktemp("weights"))


def trained_weights(folder: Path) -> dict[str, str]:
    """The same, in a folder."""
    paths = {"victim": str(folder / "victim.safetensors"), "generator": str(folder / "generator.safetensors")}
    job = job_of(paths, folder / "unused", sample=True)
    rows, classes = training_rows(job)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = fit_classifier(small_cnn(classes=classes), rows.pixels, rows.labels, epochs=8, seed=0)
    safetensors.torch.save_file(module.state_dict(), paths["victim"])
    train_generators(job)
    return paths


@pytest.fixture(scope="session")
def small_dataset(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with all three families. Tests that change it work on a copy."""
    out = tmp_path_factory.mktemp("dataset") / "out"
    assert generate(job_of(weights, out, sample=True)).status == "complete"
    return out


@pytest.fixture
def write_job(weights: dict[str, str], tmp_path: Path) -> Callable[..., Path]:
    """Writes a job file and returns its path; the output is `out` beside it."""

    def write(*, out: Path | None = None, **changes: Any) -> Path:
        path = tmp_path / f"job{len(list(tmp_path.glob('job*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump(document(weights, out or tmp_path / "out", **changes)))
        return path

    return write
