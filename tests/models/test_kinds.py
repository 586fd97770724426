"""Twelve kinds of saved model, each loaded by a section of three lines at most, with the logits of its origin.

Networks are those of the real libraries with random weights; those of timm and torchvision are in tests/foreign.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from torch import Tensor, nn

from hardset.pipeline.models.loading import load_model
from hardset.pipeline.models.preflight import check_model
from hardset.pipeline.models.zoo import cifar_resnet20
from hardset.schemas.job.job import Model
from tests.models.test_saved import keras

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255
CLASSES = 10
LINES = 3
FACTORY = "factory: hardset.pipeline.models.zoo:cifar_resnet20"


@dataclass(frozen=True)
class Kind:
    """A model on disk: what its section says besides the number of classes, and how it is written."""

    section: str
    """Lines in which FILE stands for the path."""
    name: str
    """Name of the file; empty: the folder."""
    write: Callable[[Path], Tensor]
    """Writes it and returns its origin's logits for the images."""


def normalised(network: nn.Module, images: Tensor) -> nn.Module:
    """With the running statistics of these images, so that untrained layers hand their signal on."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    return network.eval().requires_grad_(False)


def resnet20() -> nn.Module:
    torch.manual_seed(2)
    return normalised(cifar_resnet20(CLASSES), IMAGES)


def saved_by_torch(state: Callable[[nn.Module], object]) -> Callable[[Path], Tensor]:
    def write(path: Path) -> Tensor:
        network = resnet20()
        torch.save(state(network), path)
        logits: Tensor = network(IMAGES)
        return logits

    return write


def raw(network: nn.Module) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}


def prefixed(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


def as_safetensors(path: Path) -> Tensor:
    network = resnet20()
    safetensors.torch.save_file(network.state_dict(), path)
    logits: Tensor = network(IMAGES)
    return logits


def as_onnx(path: Path) -> Tensor:
    network, file = resnet20(), io.BytesIO()
    torch.onnx.export(network, (IMAGES,), file, dynamo=False, dynamic_axes={"x": {0: "rows"}}, input_names=["x"])
    path.write_bytes(file.getvalue())
    logits: Tensor = network(IMAGES)
    return logits


def of_transformers(name: str, **config: Any) -> Callable[[Path], Tensor]:
    def write(path: Path) -> Tensor:
        import transformers

        torch.manual_seed(1)
        model = getattr(transformers, f"{name}ForImageClassification")(
            getattr(transformers, f"{name}Config")(num_labels=CLASSES, **config)
        )
        with torch.no_grad():
            for tensor in model.parameters():  # heads that start with zeros hide their input
                tensor.add_(0.02 * torch.rand_like(tensor))
        normalised(model, IMAGES)
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
        model.save_pretrained(path)
        processor.save_pretrained(path)
        with torch.no_grad():
            logits: Tensor = model(**processor(images=list(PIXELS), return_tensors="pt")).logits
        return logits

    return write


def of_keras(build: Callable[[], Any]) -> Callable[[Path], Tensor]:
    """Keras' models end in a softmax, which is taken off: its logarithm differs from the logits by a constant a row."""

    def write(path: Path) -> Tensor:
        model = build()
        for layer in model.layers:
            if isinstance(layer, keras().layers.BatchNormalization):
                layer.momentum = 0.0
        model(PIXELS.astype(np.float32) / 255, training=True)
        model.save(path)
        with torch.no_grad():
            found: Tensor = model(PIXELS.astype(np.float32) / 255, training=False).cpu()
        return found.log()

    return write


def sequential() -> Any:
    layers = keras().layers
    return keras().Sequential(
        [
            layers.Input((32, 32, 3)), layers.Conv2D(8, 3, activation="relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5), layers.Dense(CLASSES, activation="softmax"),
        ]
    )  # fmt: skip


def application() -> Any:
    return keras().applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, weights=None, classes=CLASSES)


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
FOLDER, KERAS = "format: huggingface\nweights: FILE", "format: keras\nweights: FILE"
KINDS = {
    "state dict in safetensors": Kind(f"{FACTORY}\nweights: FILE", "w.safetensors", as_safetensors),
    "checkpoint with averaged weights": Kind(
        f"{FACTORY}\nweights: FILE\nweights_key: state_dict_ema", "model_best.pth.tar",
        saved_by_torch(lambda net: {"state_dict": raw(net), "state_dict_ema": net.state_dict(), "epoch": 3}),
    ),
    "Lightning's checkpoint": Kind(
        f"{FACTORY}\nweights: FILE", "epoch=3.ckpt",
        saved_by_torch(lambda net: {"state_dict": {**prefixed(net, "model."), "criterion.weight": torch.ones(1)}}),
    ),
    "averaged, parallel and compiled": Kind(
        f"{FACTORY}\nweights: FILE", "swa.bin",
        saved_by_torch(lambda net: {**prefixed(net, "module._orig_mod."), "n_averaged": torch.tensor(7)}),
    ),
    "transformers: ViT": Kind(
        FOLDER, "", of_transformers("ViT", image_size=32, patch_size=8, **SIZES)
    ),
    "transformers: ResNet": Kind(
        FOLDER, "",
        of_transformers("ResNet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    ),
    "transformers: ConvNeXt": Kind(
        FOLDER, "", of_transformers("ConvNext", hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1])
    ),
    "transformers: Swin": Kind(
        FOLDER, "",
        of_transformers(
            "Swin", image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
        ),
    ),
    "Keras, .keras": Kind(KERAS, "m.keras", of_keras(sequential)),
    "Keras, .h5": Kind(KERAS, "m.h5", of_keras(sequential)),
    "keras.applications: MobileNet": Kind(KERAS, "m.keras", of_keras(application)),
    "ONNX": Kind("format: onnx\nweights: FILE", "m.onnx", as_onnx),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_model_gives_the_logits_of_its_origin(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    wanted = kind.write(tmp_path / kind.name)
    assert kind.section.count("\n") < LINES
    section = yaml.safe_load(kind.section.replace("FILE", str(tmp_path / kind.name)))
    loaded = load_model(Model.model_validate({**section, "classes": CLASSES}), channels=3, device=CPU)
    found = loaded.module(IMAGES)
    if section.get("format") == "keras":
        wanted, found = wanted.log_softmax(1), found.log_softmax(1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert float(wanted.std(0).mean()) > 1e-3, "rows are told apart"
    assert all("left out" in text for text in check_model(loaded, PIXELS, CPU, batch=4))


def test_there_are_twelve() -> None:
    assert len(KINDS) == 12
