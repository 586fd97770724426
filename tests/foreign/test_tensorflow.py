"""A TensorFlow model by way of tf2onnx: its answers and its gradients are TensorFlow's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.models.loading import LoadedModel, load_model
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.schemas.job.job import Model
from hardset.schemas.job.recipes import Attack

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tensorflow")
    script = Path(__file__).with_name("tensorflow_model.py")
    subprocess.run([sys.executable, str(script), str(place)], check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "answers.npz"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    spec = Model(format="onnx", weights=str(folder / "model.onnx"), classes=5)
    return load_model(spec, channels=3, device=CPU)


def images_of(answers: dict[str, np.ndarray]) -> Tensor:
    return torch.from_numpy(answers["pixels"]).permute(0, 3, 1, 2).float() / 255


def test_it_answers_as_tensorflow_does(model: LoadedModel, answers: dict[str, np.ndarray]) -> None:
    assert check_model(model, answers["pixels"], CPU, batch=4) == check_gradient(model, answers["pixels"], CPU) == ()
    found = model.module(images_of(answers)).softmax(1)
    np.testing.assert_allclose(found, answers["probabilities"], atol=1e-5)


def test_fgsm_moves_along_the_gradient_of_the_tape(model: LoadedModel, answers: dict[str, np.ndarray]) -> None:
    """Goodfellow et al. 2015 by tf.GradientTape: the image moved by eps times the sign of the loss' gradient."""
    spec = Attack.model_validate({"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "4/255"})
    pixels, labels = answers["pixels"], answers["labels"]
    rows = CleanRows(pixels, labels, tuple("abcdef"), np.arange(6))
    made = AttackRecipe(spec, module=model.module, classes=5, batch=6, device=CPU).make(rows, np.arange(6)[:, None])
    right = answers["probabilities"].argmax(1)[made.parents] == labels[made.parents]
    wanted = (pixels.astype(int) + 4 * np.sign(answers["gradient"]).astype(int)).clip(0, 255)[made.parents]
    assert right.any()
    assert (made.pixels == wanted)[right].mean() > 0.999  # gradients of 0 have the sign that rounding gives them
