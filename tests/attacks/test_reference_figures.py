"""Robust accuracy on published models beside the figures that other libraries reach on the same rows."""

from __future__ import annotations

import io
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.attacks.nets import predictions, recipe, rows, seeds

MNIST = ("mnist_fast_fgsm", "mnist_t10k.parquet", "L")
CIFAR = ("cifar_cnn_a_adv", "cifar10_test_jpeg.parquet", "RGB")
RESNET = ("cifar_resnet20", "cifar10_test_jpeg.parquet", "RGB")


@pytest.fixture(scope="module")
def published(shared_data):
    sys.path.insert(0, str(shared_data))
    try:
        from reference_models import load
    finally:
        sys.path.remove(str(shared_data))

    def give(name: str, file: str, mode: str, count: int):
        table = pq.read_table(shared_data / file).slice(0, count)
        pixels = [
            np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert(mode)) for cell in table["image"].to_pylist()
        ]
        stack = np.stack(pixels)
        return load(name), rows(stack if stack.ndim == 4 else stack[..., None], table["label"].to_numpy())

    return give


def _robust(published, where, count: int, **settings) -> float:
    net, clean = published(*where, count)
    made = recipe(net, batch=100, **settings).make(clean, seeds(count)[:, None])
    return 100 * float((predictions(net, made.pixels) == clean.labels).mean())


# Libraries' figures on the first 1,000 rows are 93.7, 52.9 and 89.8, 52.8, in floats. Of eps 0.3 the half level
# that cannot be stored costs 0.6 points, whoever stores it; there this engine's stored images leave 90.0.
@pytest.mark.parametrize(
    ("where", "settings", "most"),
    [
        (MNIST, {"name": "fgsm", "eps": "0.3"}, 93.7),
        (CIFAR, {"name": "fgsm", "eps": "2/255"}, 52.9),
        pytest.param(
            MNIST, {"name": "pgd", "eps": "0.3", "step_size": "0.01", "steps": 50}, 90.1, marks=pytest.mark.slow
        ),
        pytest.param(CIFAR, {"name": "apgd_dlr", "eps": "2/255", "steps": 50}, 50.6, marks=pytest.mark.slow),
        pytest.param(
            CIFAR, {"name": "pgd", "eps": "2/255", "step_size": "0.5/255", "steps": 50}, 52.8, marks=pytest.mark.slow
        ),
    ],
    ids=["fgsm-mnist", "fgsm-cifar", "pgd-mnist", "apgd-dlr-cifar", "pgd-cifar"],
)
def test_stored_images_are_as_strong_as_the_libraries_floats(published, where, settings, most):
    assert _robust(published, where, 1000, **settings) <= most + 0.05


def test_an_undefended_network_falls_on_every_row(published):
    settings = {"name": "pgd", "eps": "8/255", "step_size": "2/255", "steps": 20, "stop": "success"}
    assert _robust(published, RESNET, 100, **settings) == 0.0
