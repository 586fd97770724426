"""Networks that timm and torchvision know by name: built by them, filled with weights, fed as they are configured."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from hardset.pipeline.models.candidates import State
from hardset.pipeline.models.factory import fixed_generator
from hardset.pipeline.models.feeding import Interpolation
from hardset.pipeline.models.huggingface import files_sha256
from hardset.pipeline.models.saved import SavedNetwork, extra
from hardset.pipeline.models.state import fill_from
from hardset.pipeline.models.vision import make_importable
from hardset.pipeline.models.weights import read_folder, read_states, states_in, weights_sha256
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.network import Network, Normalize

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_NOT_FROM_A_FOLDER = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
"""Arguments of timm that have it read further files."""


@dataclass(frozen=True)
class Configured:
    """What a library says of how images are fed to a network."""

    normalize: Normalize | None
    size: tuple[int, int] | None
    """Height and width of the images."""
    fixed: bool
    """Whether the network takes no other."""
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True)
class Library:
    """A library of networks."""

    module: str
    """What is imported."""
    names: Callable[[Any], Iterable[str]]
    """Names of its classifiers, of the library's module."""
    knows: Callable[[Any, str], bool]
    """Whether one of them has that name."""
    build: Callable[[Any, str, dict[str, Any]], nn.Module]
    """The network of a name with its arguments."""
    configured: Callable[[Any, str, Any], Configured]
    """How the published weights of that name are fed."""


def timm_configured(config: Mapping[str, Any]) -> Configured:
    """How images are fed to a network, out of timm's pretrained_cfg. Raises TypeError or ValueError if it is none."""
    mean, std, size = config.get("mean"), config.get("std"), config.get("input_size")
    return Configured(
        normalize=Normalize(mean=tuple(mean), std=tuple(std)) if mean and std else None,
        size=(int(size[1]), int(size[2])) if size else None,
        fixed=bool(config.get("fixed_input_size")),
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
    )


def _torchvision_configured(models: Any, name: str, network: Any) -> Configured:
    shown = models.get_model_weights(name).DEFAULT.transforms()
    side = getattr(network, "image_size", None)
    return Configured(
        normalize=Normalize(mean=tuple(shown.mean), std=tuple(shown.std)),
        size=(side, side) if isinstance(side, int) else None,
        fixed=isinstance(side, int),
        interpolation="bicubic" if shown.interpolation.value == "bicubic" else "bilinear",
    )


LIBRARIES: Mapping[str, Library] = {
    "timm": Library(
        module="timm",
        names=lambda timm: timm.list_models(),
        knows=lambda timm, name: ":" not in name and timm.is_model(name),
        build=lambda timm, name, arguments: timm.create_model(name, pretrained=False, **arguments),
        configured=lambda timm, name, network: timm_configured(network.pretrained_cfg),
    ),
    "torchvision": Library(
        module="torchvision.models",
        names=lambda models: models.list_models(module=models),
        knows=lambda models, name: name in models.list_models(module=models),
        build=lambda models, name, arguments: models.get_model(name, weights=None, **arguments),
        configured=_torchvision_configured,
    ),
}
"""Libraries by the format of a model."""


def named_sha256(spec: Network, at: str) -> str:
    """Digest of the weights, or of the folder, of a network with a name. Raises JobError as `read_named`."""
    if spec.architecture is None:
        return _pinned(spec, files_sha256(_folder(spec, at)), at)
    return _pinned(spec, weights_sha256(str(spec.weights), at=at), at)


def read_named(spec: Network, at: str, classes: int) -> tuple[SavedNetwork, str]:
    """The network of a name with its weights, and their digest.

    Raises JobError where the library is missing or does not know the name, or the weights do not fit.
    """
    if spec.architecture is None:
        return _of_folder(spec, at, classes)
    states, sha256 = read_states(str(spec.weights), key=spec.weights_key, at=at)
    arguments = {"num_classes": classes, **spec.arguments}
    network, shown = _built(spec, spec.architecture, arguments, at)
    told = _filled(network, states, spec, shown.normalize, at)
    if spec.normalize is None and shown.normalize is not None:
        mean, std = ([round(value, 4) for value in values] for values in (shown.normalize.mean, shown.normalize.std))
        told += (
            f"{at}.normalize: unset, so images are brought to what {spec.format}'s own weights of {spec.architecture} "
            f"take: {{mean: {mean}, std: {std}}}; set it to what these weights were trained on",
        )
    size = shown.size if shown.fixed else None
    saved = SavedNetwork(network, shown.normalize, size=size, interpolation=shown.interpolation, told=told)
    return saved, _pinned(spec, sha256, at)


def _of_folder(spec: Network, at: str, classes: int) -> tuple[SavedNetwork, str]:
    """The network that a folder of timm's names; its configuration is that of the weights beside it."""
    files = _folder(spec, at)
    config = _config(files[_CONFIG], spec, at)
    own = {key: value for key, value in config.get("model_args", {}).items() if key not in _NOT_FROM_A_FOLDER}
    arguments = {"num_classes": config.get("num_classes", classes), **own, **spec.arguments}
    network, shown = _built(spec, config["architecture"], arguments, at, config.get("pretrained_cfg"))
    told = _filled(network, states_in(files[_WEIGHTS], _WEIGHTS, at=at), spec, shown.normalize, at)
    names = config.get("label_names")
    saved = SavedNetwork(
        network,
        shown.normalize,
        size=shown.size,
        interpolation=shown.interpolation,
        told=told,
        class_names=tuple(map(str, names)) if isinstance(names, list) else None,
    )
    return saved, _pinned(spec, files_sha256(files), at)


def _built(
    spec: Network, name: str, arguments: dict[str, Any], at: str, config: Mapping[str, Any] | None = None
) -> tuple[nn.Module, Configured]:
    """The network with its initial tensors, and how it is fed: as `config` says, or the library's own for the name."""
    make_importable()
    library = LIBRARIES[str(spec.format)]
    module = extra(library.module, str(spec.format), at)
    if not library.knows(module, name):
        near = difflib.get_close_matches(name, library.names(module), n=1)
        hint = f"did you mean {near[0]}?" if near else "check the name"
        raise JobError(f"{at}.architecture: {spec.format} has no classifier {name}; {hint}")
    try:
        with fixed_generator():
            network = library.build(module, name, arguments)
        shown = library.configured(module, name, network) if config is None else timm_configured(config)
    except Exception as error:  # the libraries raise whatever their networks raise
        raise JobError(
            f"{at}.arguments: {spec.format} cannot build {name}: {type(error).__name__}: {one_line(error)}"
        ) from error
    if shown.normalize is not None and len(shown.normalize.mean) != arguments.get("in_chans", 3):
        shown = replace(shown, normalize=None)
    return network, shown


def _filled(
    network: nn.Module, states: Mapping[str, State], spec: Network, normalize: Normalize | None, at: str
) -> tuple[str, ...]:
    name = public_name(str(spec.weights))
    return fill_from(network, states, name=name, normalize=spec.normalize or normalize, at=at, by="architecture")


def _folder(spec: Network, at: str) -> dict[str, bytes]:
    """config.json and model.safetensors of a folder that timm wrote. Raises JobError where it lacks one."""
    name = public_name(str(spec.weights))

    def chosen(found: Iterable[str]) -> list[str]:
        names = set(found)
        if _CONFIG not in names:
            raise JobError(f"{name}: has no {_CONFIG}; wants what timm.models.save_for_hf wrote, or {at}.architecture")
        if _WEIGHTS not in names:
            raise JobError(
                f"{name}: has no {_WEIGHTS}; pickles are not read: write the model anew with "
                "timm.models.save_for_hf(model, folder, safe_serialization=True)"
            )
        return [_CONFIG, _WEIGHTS]

    return read_folder(str(spec.weights), at, chosen)


def _config(data: bytes, spec: Network, at: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        found = one_line(error)
    if isinstance(found, dict) and isinstance(found.get("architecture"), str):
        return found
    hint = (
        "set format: huggingface" if isinstance(found, dict) and "model_type" in found else "it names no architecture"
    )
    raise JobError(f"{at}.weights: {public_name(str(spec.weights))}: {_CONFIG} is not what timm writes; {hint}")


def _pinned(spec: Network, sha256: str, at: str) -> str:
    if spec.sha256 not in (None, sha256):
        raise JobError(f"{at}.sha256: the weights have {sha256}, the job names {spec.sha256}")
    return sha256
