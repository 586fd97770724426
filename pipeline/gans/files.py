"""Generator files: safetensors, with the card that says what the weights are in their metadata."""

from __future__ import annotations

import json
from dataclasses import asdict

import safetensors
import safetensors.torch
import torch

from pipeline.gans.networks import ARCHITECTURE, GeneratorNet, Shape
from pipeline.gans.training import Generator
from pipeline.storage import Folder, public_name
from schemas.digests import canonical_json, sha256_hex
from schemas.errors import JobError

CARD = "hardset"


def save_generator(generator: Generator, weights: str) -> str:
    """Writes the file whole or not at all, and returns its SHA-256."""
    card = {"architecture": ARCHITECTURE, "value_range": [0, 1], **asdict(generator.shape)}
    tensors = {name: tensor.contiguous().cpu() for name, tensor in generator.net.state_dict().items()}
    data = safetensors.torch.save(tensors, metadata={CARD: canonical_json(card)})
    folder, name = _place(weights)
    folder.write(name, data)
    return sha256_hex(data)


def load_generator(weights: str, *, device: torch.device, key: str = "generator.weights") -> Generator:
    """The generator of a file. Raises JobError, naming `key`, where it is missing or not one of hardset's."""
    data = _read(weights, key)
    name = public_name(weights)
    try:
        # The metadata is the JSON header's `__metadata__`; its length is the first 8 bytes, little endian.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        card = json.loads(header["__metadata__"][CARD])
        known = card.pop("architecture"), card.pop("value_range")
        shape = Shape(**card)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise JobError(f"{key}: {name} is not a generator that `hardset train-gan` wrote") from None
    if known != (ARCHITECTURE, [0, 1]):
        raise JobError(f"{key}: {name} holds architecture {known[0]}; this version reads {ARCHITECTURE}")
    net = GeneratorNet(shape)
    try:
        net.load_state_dict(safetensors.torch.load(data))
    except (safetensors.SafetensorError, RuntimeError):
        raise JobError(f"{key}: {name} is damaged; train it again with `hardset train-gan`") from None
    return Generator(net.to(device).eval().requires_grad_(False), shape, sha256_hex(data))


def generator_digest(weights: str, *, key: str = "generator.weights") -> str:
    """SHA-256 of a generator file. Raises JobError, naming `key`, where there is none."""
    return sha256_hex(_read(weights, key))


def _read(weights: str, key: str) -> bytes:
    folder, name = _place(weights)
    try:
        return folder.read(name)
    except FileNotFoundError:
        raise JobError(f"{key}: no file at {public_name(weights)}; `hardset train-gan JOB` makes it") from None


def _place(weights: str) -> tuple[Folder, str]:
    parent, _, name = weights.rpartition("/")
    return Folder(parent or "."), name
