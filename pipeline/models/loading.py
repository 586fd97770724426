"""The model under attack: an importable factory, and weights that cannot run code."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import fsspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.models.normalise import normalised
from pipeline.storage import public_name
from schemas.digests import sha256_hex
from schemas.errors import JobError
from schemas.job import Model

NAMES_SHOWN = 3


@dataclass(frozen=True)
class LoadedModel:
    """A classifier ready to be attacked and asked."""

    module: nn.Module
    """Images in [0, 1], float32 N x C x H x W, to logits. Eval mode, parameters frozen, on its device."""
    model_id: str
    sha256: str
    """Of the weight file; of the state dict where there is none."""
    classes: int


def load_model(spec: Model, *, channels: int, device: torch.device) -> LoadedModel:
    """Builds the factory's module, loads its weights, and puts the normalisation inside.

    Raises JobError, naming the key, for a factory or weights that cannot be used.
    """
    module = build(spec)
    if spec.weights is None:
        sha256 = _state_digest(module.state_dict())
    else:
        data = _read(spec.weights)
        sha256 = sha256_hex(data)
        _fit(module, _state(spec.weights, data), public_name(spec.weights))
    _refuse_not_finite(module.state_dict(), public_name(spec.weights or spec.factory))
    module = normalised(module, spec.normalize, channels).to(device).eval().requires_grad_(False)
    return LoadedModel(module, spec.factory, sha256, spec.classes)


def weights_digest(spec: Model) -> str:
    """SHA-256 of the weight file, or of the factory's own state dict."""
    return _state_digest(build(spec).state_dict()) if spec.weights is None else sha256_hex(_read(spec.weights))


def build(spec: Model) -> nn.Module:
    """The factory's module, with its initial weights drawn from a fixed seed so that they are the same everywhere."""
    module_name, _, name = spec.factory.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise JobError(f"model.factory: {module_name} cannot be imported ({error}); is it installed?") from None
    except AttributeError:
        raise JobError(f"model.factory: {module_name} has no {name}") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module = factory(**spec.arguments)
        except TypeError as error:
            raise JobError(f"model.factory: {spec.factory} does not take model.arguments: {error}") from None
    if not isinstance(module, nn.Module):
        raise JobError(f"model.factory: {spec.factory} returned a {type(module).__name__}, not a torch module")
    return module


def _read(weights: str) -> bytes:
    name = public_name(weights)
    try:
        with fsspec.open(weights, "rb") as file:
            data: bytes = file.read()
    except FileNotFoundError:
        raise JobError(f"model.weights: {name}: no such file") from None
    except (OSError, ImportError, ValueError) as error:
        raise JobError(f"model.weights: {name} cannot be read: {error}") from None
    return data


def _state(weights: str, data: bytes) -> Mapping[str, Tensor]:
    name = public_name(weights)
    if name.endswith(".safetensors"):
        try:
            tensors: dict[str, Tensor] = safetensors.torch.load(data)
            return tensors
        except safetensors.SafetensorError as error:
            raise JobError(f"model.weights: {name} is not a whole .safetensors file: {error}") from None
    if name.endswith((".pt", ".pth")):
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:
            raise JobError(
                f"model.weights: {name} is refused: it holds more than tensors ({type(error).__name__}); "
                "save the state dict as .safetensors"
            ) from None
        state = state.get("state_dict", state) if isinstance(state, dict) else state
        if isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values()):
            return state
        raise JobError(f"model.weights: {name} holds no state dict; save one as .safetensors")
    raise JobError(f"model.weights: {name} is refused: only .safetensors, and .pt or .pth of a state dict, are loaded")


def _fit(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Loads `state`, less a prefix that all its keys share beyond the module's own, such as `module.`."""
    wanted = module.state_dict()
    for prefix in ("", "module.", "net.", "model."):
        kept = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        rest = {key for key in state if not key.startswith(prefix)}
        if kept.keys() == wanted.keys() and rest <= {"mean", "std"}:
            wrong = [key for key in kept if kept[key].shape != wanted[key].shape]
            if wrong:
                key = wrong[0]
                raise JobError(
                    f"model.weights: {name}: {key} has shape {tuple(kept[key].shape)}, the factory's model wants "
                    f"{tuple(wanted[key].shape)}; check model.classes and model.arguments"
                )
            module.load_state_dict(kept)
            return
    missing, unknown = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    raise JobError(
        f"model.weights: {name} does not fit the factory's model: missing {_some(missing)}; unknown {_some(unknown)}"
    )


def _refuse_not_finite(state: Mapping[str, Tensor], name: str) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise JobError(f"model.weights: {name}: {key} holds NaN or infinite values; train or export it again")


def _state_digest(state: Mapping[str, Tensor]) -> str:
    return sha256_hex(safetensors.torch.save({key: value.contiguous().cpu() for key, value in sorted(state.items())}))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(names[:NAMES_SHOWN]) or "nothing") + more
