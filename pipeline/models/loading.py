"""The model under attack, as a job names it: built, filled, normalised, frozen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.models.factory import build
from pipeline.models.normalise import normalised
from pipeline.models.state import check_finite, fill
from pipeline.models.weights import read_weights, weights_sha256
from pipeline.storage import public_name
from schemas import job
from schemas.errors import JobError


@dataclass(frozen=True)
class LoadedModel:
    """A classifier ready to be attacked."""

    module: nn.Module
    """Float32 images in [0, 1], N x C x H x W, to logits N x classes. In eval mode, frozen, on the device."""
    model_id: str
    """Factory and start of the digest; no file name, so that a renamed file makes the same rows."""
    sha256: str
    """Of the weights, as `weights_digest` gives it."""
    classes: int
    """Number of logits that the job declares."""


def load_model(spec: job.Model, *, channels: int, device: torch.device) -> LoadedModel:
    """The job's model on `device`, for rows of `channels` channels.

    Raises JobError: factory or weights cannot be used, they do not fit each other or the rows, or hold NaN. Raises
    RunError where the storage of the weights refuses.
    """
    network = build(spec)
    if spec.weights is None:
        name, sha256 = spec.factory, _state_sha256(network)
    else:
        name = public_name(spec.weights)
        state, sha256 = read_weights(spec.weights)
        fill(network, state, name=name, normalize=spec.normalize)
    network = network.float()
    check_finite(network, name)
    module = normalised(network, spec.normalize, channels).eval().requires_grad_(False)
    # Tensor cores want channels_last, and one CPU core judged ResNet-20 1.7 times as fast with it (torch 2.13).
    module = module.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LoadedModel(module, f"{spec.factory}@{sha256[:12]}", sha256, spec.classes)


def weights_digest(spec: job.Model) -> str:
    """SHA-256 of the weight file, 64 hex digits; without one, of the tensors that the factory starts with.

    Raises JobError where the file is missing or of a refused kind, or the factory's tensors differ from call to call.
    """
    if spec.weights is not None:
        return weights_sha256(spec.weights)
    first, second = (_state_sha256(build(spec)) for _ in range(2))
    if first != second:
        raise JobError(
            f"model.factory: {spec.factory} gives other weights at each call; seed it inside, or name a file in "
            "model.weights"
        )
    return first


def _state_sha256(module: nn.Module) -> str:
    """Digest of names, types, shapes and bytes of the state dict, in the order of the names."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name}:{values.dtype}:{tuple(values.shape)}:".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
