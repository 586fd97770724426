"""Generator files: safetensors, with the generator's card as JSON in their metadata. Nothing in them is ever run."""

from __future__ import annotations

import json
from dataclasses import replace

import safetensors
import safetensors.torch
import torch

from pipeline.gans.generator import Card, Generator, check_fit
from pipeline.gans.networks import ARCHITECTURE, GeneratorNet
from pipeline.storage import Folder, public_name
from schemas.digests import canonical_json, sha256_hex
from schemas.errors import JobError
from schemas.records import Image

_CARD = "hardset"  # key of the card in the safetensors metadata
_KEY = "generator.weights"


def save_generator(generator: Generator, weights: str) -> str:
    """Writes the generator to any fsspec URL, whole or not at all, and returns the file's SHA-256.

    The same generator gives the same bytes. Raises RunError where the storage refuses.
    """
    data = encode_generator(generator)
    folder, name = _place(weights)
    folder.write(name, data)
    return sha256_hex(data)


def load_generator(weights: str, *, device: torch.device, key: str = _KEY) -> Generator:
    """The generator of a file at any fsspec URL, frozen and in eval mode.

    Raises JobError, naming `key`, where the file is missing, foreign or broken; RunError where the storage refuses.
    """
    generator = decode_generator(_read(weights, key), name=public_name(weights), key=key)
    return replace(generator, net=generator.net.to(device))


def generator_digest(weights: str, *, key: str = _KEY, classes: int | None = None, image: Image | None = None) -> str:
    """SHA-256 of a generator file that can be sampled from.

    Raises as `load_generator`, and JobError where the generator does not make `classes` or the shape `image`.
    """
    generator = load_generator(weights, device=torch.device("cpu"), key=key)
    check_fit(generator.card, classes=classes, image=image, key=key)
    return generator.sha256


def encode_generator(generator: Generator) -> bytes:
    """The bytes of a generator's file."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in generator.net.state_dict().items()}
    card = canonical_json(generator.card.model_dump(mode="json"))
    data: bytes = safetensors.torch.save(tensors, metadata={_CARD: card})
    return data


def decode_generator(data: bytes, *, name: str, key: str = _KEY) -> Generator:
    """The generator in the bytes of a file, on the CPU. Raises JobError, naming `key` and the file's `name`."""
    card = _card(data, name, key)
    # On the meta device a card that lies about its sizes costs no memory, and no random number is drawn.
    with torch.device("meta"):
        net = GeneratorNet(card.shape())
    wanted = net.state_dict()
    try:
        state = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError):
        raise JobError(f"{key}: {name} is damaged; train it again with `hardset train-gan JOB`") from None
    if {k: (v.shape, v.dtype) for k, v in state.items()} != {k: (v.shape, v.dtype) for k, v in wanted.items()}:
        raise JobError(f"{key}: {name} holds other weights than its card says; train it again")
    broken = [k for k, v in state.items() if not v.isfinite().all()]
    if broken:
        raise JobError(f"{key}: {name}: {broken[0]} holds NaN or infinite values; train it again")
    net.load_state_dict(state, assign=True)
    return Generator(net.eval().requires_grad_(False), card, sha256_hex(data))


def _card(data: bytes, name: str, key: str) -> Card:
    try:
        # A safetensors file starts with the length of its JSON header, 8 bytes, little endian.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        text = json.loads(header["__metadata__"][_CARD])
        architecture = text["architecture"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise JobError(f"{key}: {name} is not a generator that `hardset train-gan` wrote") from None
    if architecture != ARCHITECTURE:
        raise JobError(f"{key}: {name} has architecture {str(architecture)[:40]}; this version reads {ARCHITECTURE}")
    try:
        card = Card.model_validate(text)
        card.shape()
    except ValueError:
        raise JobError(f"{key}: {name} has a broken card; train it again with `hardset train-gan JOB`") from None
    return card


def _read(weights: str, key: str) -> bytes:
    folder, name = _place(weights)
    try:
        return folder.read(name)
    except FileNotFoundError:
        raise JobError(f"{key}: no file at {public_name(weights)}; `hardset train-gan JOB` makes it") from None


def _place(weights: str) -> tuple[Folder, str]:
    parent, slash, name = weights.rpartition("/")
    if parent.endswith(":/") or (slash and not parent):  # memory://name, /name: the parent is the root itself
        parent += "/"
    return Folder(parent or "."), name
