"""Generator files: safetensors with the generator's card as JSON in the metadata. Their content is never executed."""

from __future__ import annotations

import json

import safetensors
import safetensors.torch

from hardset.pipeline.gans.architectures import ARCHITECTURES
from hardset.pipeline.gans.generator import Card, Generator
from hardset.schemas.digests import canonical_json, sha256_hex
from hardset.schemas.errors import JobError

_CARD = "hardset"  # key of the card in the safetensors metadata
_KEY = "generator.weights"


def encode_generator(generator: Generator) -> bytes:
    """Generator file as bytes."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in generator.net.state_dict().items()}
    assert isinstance(generator.card, Card)
    card = canonical_json(generator.card.model_dump(mode="json"))
    data: bytes = safetensors.torch.save(tensors, metadata={_CARD: card})
    return data


def decode_generator(data: bytes, *, name: str, key: str = _KEY) -> Generator:
    """Generator from the bytes of a file, on the CPU. Raises JobError, naming `key` and the file's `name`."""
    card = _card(data, name, key)
    net = card.network()
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


def _way(name: str) -> str:
    if name.endswith((".pkl", ".pickle")):
        return (
            "; pickles, such as those of StyleGAN, run code when they are loaded: load it where nothing is at stake, "
            "save G_ema.state_dict() by safetensors.torch.save_file, and name the network by generator.format: factory"
        )
    return "; other generators come in by generator.format"


def _card(data: bytes, name: str, key: str) -> Card:
    try:
        # A safetensors file starts with the length of its JSON header, 8 bytes, little endian.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        text = json.loads(header["__metadata__"][_CARD])
        architecture = text["architecture"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise JobError(f"{key}: {name} is not a generator that `hardset train-gan` wrote{_way(name)}") from None
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise JobError(f"{key}: {name} has architecture {str(architecture)[:40]}; this version reads {known}")
    try:
        card = Card.model_validate(text)
        card.network()
    except ValueError:
        raise JobError(f"{key}: {name} has a broken card; train it again with `hardset train-gan JOB`") from None
    return card
