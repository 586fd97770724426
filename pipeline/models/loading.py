"""Loads the models of a job: built by the factory, loaded with weights, normalised, frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hardset.pipeline.models.architectures import named_sha256, read_named
from hardset.pipeline.models.ensemble import Ensemble, ensemble_sha256
from hardset.pipeline.models.factory import build
from hardset.pipeline.models.feeding import Sized, Through, channels_last, check_input, fed, sized
from hardset.pipeline.models.formats import check_names, read_saved, saved_sha256
from hardset.pipeline.models.normalise import Normalised, normalised
from hardset.pipeline.models.outputs import Logits, Reordered, check_order
from hardset.pipeline.models.roles import VICTIM
from hardset.pipeline.models.saved import SavedNetwork
from hardset.pipeline.models.state import check_finite, fill_from
from hardset.pipeline.models.weights import read_states, weights_sha256
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model
from hardset.schemas.job.network import NAMED, Network


@dataclass(frozen=True)
class LoadedModel:
    """A classifier, ready to be attacked or to judge."""

    module: nn.Module
    """Float32 images in [0, 1], N x C x H x W, to logits N x classes. Eval mode, frozen, on the device."""
    model_id: str
    """Factory and first hex digits of the digest; without file name, so that renaming the file changes no row."""
    sha256: str
    """SHA-256 of the weights as `network_sha256` returns it; for an ensemble as `ensemble_sha256` returns it."""
    classes: int
    """Number of logits declared by the job."""
    at: str = "model"
    """The model's key in the job, for error messages."""
    members: tuple[LoadedModel, ...] = ()
    """Networks of an ensemble, whose mean logits `module` returns. Empty: a single network."""
    combine: Literal["logits", "loss"] = "logits"
    """What an attack averages over the members of an ensemble."""
    saved: bool = False
    """Whether a file holds the network whole, so that its section of the job has no factory."""
    told: tuple[str, ...] = ()
    """What is said of how it was loaded, such as tensors of the file that are no part of it."""

    @property
    def key(self) -> str:
        """Key in the job of what the network is: its factory, or its weights where they hold it whole."""
        return f"{self.at}.weights" if self.saved else f"{self.at}.factory"

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """Members whose losses an attack averages; empty if it uses the loss of `module`."""
        return tuple(member.module for member in self.members) if self.combine == "loss" else ()


def load_model(
    spec: Model,
    *,
    channels: int,
    device: torch.device,
    at: str = "model",
    class_names: Sequence[str] | None = None,
) -> LoadedModel:
    """Loads the job's model on `device` for rows of `channels` channels. `at`: its key in the job, for error messages.

    `class_names`: those of the source; files that name their outputs are held against them. Raises JobError if factory
    or weights cannot be used, do not fit each other or the rows, or hold NaN; RunError if the storage of the weights
    fails.
    """
    networks = spec.networks()
    members = tuple(
        load_network(
            network,
            at=_below(at, key),
            classes=spec.classes,
            channels=channels,
            device=device,
            class_names=class_names,
        )
        for key, network in networks.items()
    )
    if len(members) == 1:
        return members[0]
    sha256 = ensemble_sha256(spec.combine, [member.sha256 for member in members])
    return LoadedModel(
        module=Ensemble(member.module for member in members).eval(),
        model_id=model_id(spec.model_dump(), sha256),
        sha256=sha256,
        classes=spec.classes,
        at=at,
        members=members,
        combine=spec.combine,
        saved=members[0].saved,
    )


def load_network(
    spec: Network,
    *,
    at: str,
    classes: int,
    channels: int,
    device: torch.device,
    class_names: Sequence[str] | None = None,
) -> LoadedModel:
    """Loads one network on `device`; `at`: its key in the job. Raises as `load_model` does."""
    told: tuple[str, ...] = ()
    if is_saved(spec):
        saved, sha256 = _read(spec, at, classes, class_names)
        network, name = saved.network, public_name(str(spec.weights))
        own = {"normalize": spec.normalize or saved.normalize, "input": spec.input or saved.input, "output": "auto"}
        spec = spec.model_copy(update=own)
        network, told = sized(network, saved.size, saved.interpolation), saved.told
    else:
        network, name, sha256, told = _built(spec, at)
    network = network.float()
    check_finite(network, name, at)
    module = _dressed(network, spec, at=at, classes=classes, channels=channels).eval()
    for parameter in module.parameters():  # one by one: modules of TorchScript have no requires_grad_()
        parameter.requires_grad_(False)
    # channels_last suits tensor cores, and made judging ResNet-20 1.7 times as fast on one CPU core (torch 2.13).
    module = module.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LoadedModel(
        module, model_id(spec.model_dump(), sha256), sha256, classes, at, saved=is_saved(spec), told=told
    )


def model_id(network: Mapping[str, Any], sha256: str) -> str:
    """Value of the column `model_id`: factories of a model, as its section of a job has them, and its digest."""
    factories = [_origin(network), *(_origin(member) for member in network.get("members", ()))]
    name = factories[0] if len(factories) == 1 else f"mean_{network.get('combine')}({', '.join(factories)})"
    return f"{name}@{sha256[:12]}"


def generator_id(sha256: str) -> str:
    """Value of the column `model_id` for rows of a generator."""
    return f"generator:{sha256[:12]}"


def _origin(network: Mapping[str, Any]) -> str:
    """Factory of a network, or its format, with the name that a library has for it."""
    if network.get("factory"):
        return str(network["factory"])
    return ":".join(str(network[key]) for key in ("format", "architecture") if network.get(key))


def _read(spec: Network, at: str, classes: int, class_names: Sequence[str] | None) -> tuple[SavedNetwork, str]:
    """The network of a file, or of a name and a file, and its digest."""
    if spec.format not in NAMED:
        return read_saved(spec, at, class_names)
    saved, sha256 = read_named(spec, at, classes)
    if class_names is not None and saved.class_names is not None:
        check_names(saved.class_names, class_names, spec.output_order, at)
    return saved, sha256


def _built(spec: Network, at: str) -> tuple[nn.Module, str, str, tuple[str, ...]]:
    """The factory's network with its weights, what these are called in messages, their digest, and what is told."""
    network = build(spec, at=at)
    state_of(network, at)
    if spec.weights is None:
        return network, str(spec.factory), _state_sha256(network, at), ()
    name = public_name(spec.weights)
    states, sha256 = read_states(spec.weights, key=spec.weights_key, at=at)
    told = fill_from(network, states, name=name, normalize=spec.normalize, at=at)
    return network, name, sha256, told


def is_saved(spec: Network) -> bool:
    """Whether the network's file holds the network as well as its weights."""
    return spec.format not in (None, "factory")


def _dressed(network: nn.Module, spec: Network, *, at: str, classes: int, channels: int) -> nn.Module:
    """The network between what it is fed and what its outputs mean, as the job declares them."""
    if spec.output == "auto":
        network = Logits(network, classes)
    if spec.output_order is not None:
        check_order(spec.output_order, classes, at)
        network = Reordered(network, spec.output_order)
    if spec.input is not None and spec.input.layout == "nhwc":
        network = Through(network, channels_last)
    network = normalised(network, spec.normalize, channels, at=at)
    if spec.input is None:
        return network
    check_input(spec.input, channels, at)
    return Through(network, partial(fed, spec=spec.input))


def undressed(module: nn.Module) -> nn.Module:
    """The network that the factory built, out of the module of its `LoadedModel`."""
    while isinstance(module, (Through, Normalised, Reordered, Logits, Sized)):
        module = module.network
    return module


def _below(at: str, key: str) -> str:
    """Key of a network in a job whose model has the key `at` instead of `model`."""
    return at + key.removeprefix("model")


def model_digests(spec: Model, *, at: str = "model") -> dict[str, str]:
    """SHA-256 by role: the model under attack, and an ensemble's members. `at`: the model's key in the job.

    Raises JobError as `network_sha256` does.
    """
    members = [network_sha256(network, at=_below(at, key)) for key, network in spec.networks().items()]
    if len(members) == 1:
        return {VICTIM: members[0]}
    named = {f"{VICTIM}:{position}": sha256 for position, sha256 in enumerate(members)}
    return {VICTIM: ensemble_sha256(spec.combine, members), **named}


def network_sha256(spec: Network, *, at: str = "model") -> str:
    """SHA-256 of the weight file, 64 hex digits; without a file, of the factory's initial tensors.

    Raises JobError if the file is missing or of a refused kind, or if the factory's tensors differ between calls.
    """
    if is_saved(spec):
        return named_sha256(spec, at) if spec.format in NAMED else saved_sha256(spec, at)
    if spec.weights is not None:
        found = weights_sha256(spec.weights, at=at)
        if spec.sha256 not in (None, found):
            raise JobError(
                f"{at}.sha256: the weights have {found}, the job names {spec.sha256}; they are other weights"
            )
        return found
    first, second = (_state_sha256(build(spec, at=at), at) for _ in range(2))
    if first != second:
        raise JobError(
            f"{at}.factory: {spec.factory} gives other weights at each call; seed it inside, or name a file in "
            f"{at}.weights"
        )
    return first


def state_of(module: nn.Module, at: str) -> dict[str, Tensor]:
    """The module's state dict. Raises JobError where it has no values, or packed ones, as quantised models have."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(is_lazy(tensor) for tensor in tensors):
        raise JobError(
            f"{at}.factory: the model has layers that know their size only after a first batch (Lazy...); give them "
            "their sizes, or show the model a batch inside the factory"
        )
    if any(tensor.is_meta for tensor in tensors):
        raise JobError(f"{at}.factory: the model's tensors are on the meta device, without values; build it on the CPU")
    state = module.state_dict()
    if all(isinstance(value, Tensor) and not value.is_quantized for value in state.values()):
        return state
    raise JobError(
        f"{at}.factory: the model is quantised, so that no gradient gets through it and its weights are packed; use "
        "the floating-point model that it was made from"
    )


def _state_sha256(module: nn.Module, at: str) -> str:
    """Digest over names, dtypes, shapes and bytes of the state dict, in the order of the names."""
    found = hashlib.sha256()
    for name, tensor in sorted(state_of(module, at).items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name}:{values.dtype}:{tuple(values.shape)}:".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
