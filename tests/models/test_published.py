"""The published MobileNet, which comes in as Keras and as ONNX too, and stores the same verdicts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
import safetensors.torch
import torch

from hardset.pipeline.models.loading import load_model, undressed
from hardset.pipeline.models.onnx_models import RunByOnnxruntime
from hardset.schemas.job.job import Model
from tests.models.test_saved import keras
from tests.support import job_of, make_here

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CPU = torch.device("cpu")
NORMALIZE = {"mean": [128 / 255] * 3, "std": [128 / 255] * 3}
ROWS = 40
FGSM = {"kind": "attack", "name": "fgsm", "eps": "2/255"}
NOISE = {"kind": "augment", "ops": [{"name": "gaussian_noise", "std": 0.1}]}
"""Gives the same pixels whatever the model."""


def weights(shared_data: Path) -> Path:
    return shared_data / "weights" / "mobilenet_v1_0.25_128.safetensors"


@pytest.fixture
def factory(shared_data: Path) -> dict[str, Any]:
    return {"factory": "hardset.pipeline.models.zoo:mobilenet_v1", "weights": str(weights(shared_data))}


def as_keras(shared_data: Path, path: Path) -> dict[str, Any]:
    """Layers of Keras with the published weights, and a softmax, as keras.applications has it."""
    layers, state = keras().layers, safetensors.torch.load_file(weights(shared_data))
    kernels = {k: v.numpy() for k, v in state.items()}
    count = len({name.split(".")[2] for name in state if name.startswith("net.features.")})
    network = keras().Sequential([layers.Input((128, 128, 3))])
    values = []
    for number in range(count):
        kernel, bias = (kernels[f"net.features.{number}.conv.{part}"] for part in ("weight", "bias"))
        depthwise = number > 0 and kernel.shape[1] == 1 and kernel.shape[2] == 3
        strides = 2 if number in STRIDED else 1
        if depthwise:
            layer = layers.DepthwiseConv2D(3, strides, padding="same")
            values.append([kernel.transpose(2, 3, 0, 1), bias])
        else:
            layer = layers.Conv2D(kernel.shape[0], kernel.shape[2], strides, padding="same")
            values.append([kernel.transpose(2, 3, 1, 0), bias])
        network.add(layer)
        network.add(layers.ReLU(6.0))
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dense(1000, activation="softmax"))
    values.append([kernels["net.classifier.weight"].T, kernels["net.classifier.bias"]])
    for layer, own in zip([one for one in network.layers if one.weights], values, strict=True):
        layer.set_weights(own)
    network.save(path / "mobilenet.keras")
    return {"format": "keras", "weights": str(path / "mobilenet.keras")}


STRIDED = (0, 3, 7, 11, 23)
"""Convolutions of stride 2: the first, and the depthwise ones of layers 2, 4, 6 and 12 (arXiv:1704.04861, table 1)."""


def as_onnx(factory: dict[str, Any], path: Path) -> dict[str, Any]:
    net = undressed(load_model(Model(**factory, classes=1000, normalize=NORMALIZE), channels=3, device=CPU).module)
    file, images = io.BytesIO(), torch.rand(2, 3, 128, 128)
    torch.onnx.export(net, (images,), file, dynamo=False, dynamic_axes={"x": {0: "rows"}}, input_names=["x"])
    (path / "mobilenet.onnx").write_bytes(file.getvalue())
    return {"format": "onnx", "weights": str(path / "mobilenet.onnx")}


def stored(shared_data: Path, section: dict[str, Any], recipe: dict[str, Any], out: Path) -> dict[str, list[Any]]:
    """Verdicts on the stored rows, in order of the source."""
    job = job_of(
        {"victim": ""},
        out,
        source={
            "format": "parquet", "path": str(shared_data / "imagenet250.parquet"), "size": 128, "limit": ROWS
        },
        model={**section, "classes": 1000, "normalize": NORMALIZE},
        recipes=[recipe],
        run={"batch": 20},
    )  # fmt: skip
    make_here(job)
    table = ds.dataset(out / "data", format="parquet").to_table().sort_by("source_index")
    return {name: table[name].to_pylist() for name in ("pred", "success", "clean_pred", "margin")}


@pytest.mark.parametrize("recipe", [FGSM, NOISE], ids=["fgsm", "noise"])
@pytest.mark.parametrize("form", ["keras", "onnx"])
def test_it_stores_the_same_verdicts(
    shared_data: Path, factory: dict[str, Any], tmp_path: Path, form: str, recipe: dict[str, Any]
) -> None:
    section = as_keras(shared_data, tmp_path) if form == "keras" else as_onnx(factory, tmp_path)
    loaded = load_model(Model(**section, classes=1000, normalize=NORMALIZE), channels=3, device=CPU)
    if recipe is FGSM and isinstance(undressed(loaded.module), RunByOnnxruntime):
        pytest.skip("onnxruntime runs it here, without gradients: make foreign")
    wanted = stored(shared_data, factory, recipe, tmp_path / "own")
    found = stored(shared_data, section, recipe, tmp_path / "other")
    for name in ("pred", "success", "clean_pred"):
        assert found[name] == wanted[name], name
    if recipe is NOISE:  # where rounding turns the sign of a gradient near 0, a pixel is another
        np.testing.assert_allclose(found["margin"], wanted["margin"], atol=1e-3)
    assert len(set(wanted["pred"])) > ROWS / 2
    assert sum(map(bool, wanted["success"])) > (0 if recipe is FGSM else -1)
