"""A finished evaluation of two models on a few digits, made once in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from hardset.pipeline.evaluation.evaluate import EvaluationOutcome, evaluate
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.job.evaluation import EvaluationJob, parse_evaluation

ATTACKS: list[dict[str, Any]] = [
    {"name": "fgsm", "eps": ["8/255", "38/255"]},
    {"name": "pgd", "steps": 5, "eps": ["8/255", "38/255", "1"]},
]


def document(paths: dict[str, str], out: Path | str, **changes: Any) -> dict[str, Any]:
    """A job file's content for the weights at `paths`, by name; `changes` replace whole sections."""
    base = {
        "name": "digits",
        "seed": 3,
        "source": {"format": "digits", "splits": ["test"], "limit": 50},
        "classes": 10,
        "models": [
            {"name": name, "factory": "hardset.pipeline.models.zoo:small_cnn", "weights": path}
            for name, path in paths.items()
        ],
        "threats": [{"eps": "38/255"}],
        "attacks": ATTACKS,
        "corruptions": ["gaussian_noise"],
        "severities": [1, 5],
        "shifts": [1],
        "output": {"path": str(out), "part_rows": 30},
        "run": {"batch": 64},
    }
    return base | changes


def job_of(paths: dict[str, str], out: Path | str, **changes: Any) -> EvaluationJob:
    return parse_evaluation(document(paths, out, **changes))


@pytest.fixture(scope="session")
def models(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Weights of a trained classifier, and of one that never saw an image."""
    path = tmp_path_factory.mktemp("models") / "untrained.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        safetensors.torch.save_file(small_cnn().state_dict(), path)
    return {"trained": weights["victim"], "untrained": str(path)}


@pytest.fixture(scope="session")
def finished(
    models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, EvaluationJob, EvaluationOutcome]:
    """Folder, job and outcome. Tests that change the folder work on a copy."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    job = job_of(models, out)
    return out, job, evaluate(job)
