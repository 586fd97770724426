"""Keras models, .keras and .h5, on Keras 3 with torch behind it: read in safe mode, after a look at what they name."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hardset.pipeline.models.saved import SavedNetwork, extra
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError, one_line

_CODE = {"Lambda", "TorchModuleWrapper", "TFSMLayer", "FlaxLayer", "JaxLayer", "__lambda__"}
"""Layers that hold or load code or pickles of their own."""


class KerasNetwork(nn.Module):
    """A Keras model, which takes N x H x W x C, in inference mode."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of images N x C x H x W."""
        outputs: Tensor = self.model(images.permute(0, 2, 3, 1), training=False)
        return outputs


def load(data: bytes, url: str, at: str) -> SavedNetwork:
    """The model that model.save() wrote, without the softmax or sigmoid at its end, which attacks must not see.

    Raises as `read_model` does.
    """
    model = read_model(data, url, at)
    return SavedNetwork(KerasNetwork(_without_head(extra("keras", "keras", at), model)))


def read_model(data: bytes, url: str, at: str) -> Any:
    """The Keras model that model.save() wrote, on torch.

    Raises JobError where it names code, or layers that are not Keras' own, and for what Keras cannot load.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras: Any = extra("keras", "keras", at)
    if keras.backend.backend() != "torch":
        raise JobError(
            f"{at}.format: Keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=torch before "
            "the command starts"
        )
    name = f"{at}.weights: {public_name(url)}"
    zipped = zipfile.is_zipfile(io.BytesIO(data))
    _check_config(_config(data, zipped, name, at), name)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / ("model.keras" if zipped else "model.h5")
        file.write_bytes(data)
        try:
            return keras.saving.load_model(file, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever its layers raise
            raise JobError(f"{name}: Keras cannot load it: {type(error).__name__}: {one_line(error)}") from error


def _config(data: bytes, zipped: bool, name: str, at: str) -> Any:
    """The model's declaration, read without Keras."""
    try:
        if zipped:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return json.loads(archive.read("config.json"))
        h5py: Any = extra("h5py", "keras", at)
        with h5py.File(io.BytesIO(data), "r") as file:
            text = file.attrs["model_config"]
            return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except KeyError:
        raise JobError(f"{name}: holds weights alone; save the whole model with model.save(file)") from None
    except (OSError, ValueError) as error:
        raise JobError(f"{name}: is no Keras model: {one_line(error)}") from None


def _check_config(config: Any, name: str) -> None:
    for node in _classes(config):
        kind, module, registered = (node.get(key) for key in ("class_name", "module", "registered_name"))
        if kind in _CODE:
            raise JobError(
                f"{name}: has a {kind} layer, which holds code, and is not loaded; replace it by layers of Keras, "
                "or build the network in a factory of your own"
            )
        own = module is None or str(module).split(".")[0] in ("keras", "builtins")
        if not own or ">" in f"{registered}{kind}":
            raise JobError(
                f"{name}: names {module or ''}{'.' if module else ''}{kind}, which is not a part of Keras and is not "
                "loaded; build the network in a factory of your own"
            )


def _classes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "class_name" in node:
            yield node
        for value in node.values():
            yield from _classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _classes(value)


def _without_head(keras: Any, model: Any) -> Any:
    """The model with what goes into the softmax or sigmoid at its end for outputs; other ends stay."""
    last: Any = model.layers[-1] if getattr(model, "layers", None) else None
    activation = getattr(last, "activation", None)
    if activation in (keras.activations.softmax, keras.activations.sigmoid):
        last.activation = keras.activations.linear
    elif isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs, last.input)
    return model
