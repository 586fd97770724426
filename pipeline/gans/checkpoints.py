"""Checkpoints of a training: safetensors, whose content is never executed, with its progress as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import safetensors
import safetensors.torch
from pydantic import Field
from torch import Tensor

from hardset.pipeline.gans.selection import Measure
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.gan_training import GanTraining

_KEY = "hardset-training"  # of the progress in the metadata
_WEIGHTS = "kept."  # before the names of the averages that may become the generator
_GRIDS = "shown."  # before the steps of the grids


class Losses(Spec):
    """Means of the losses over the steps since those before."""

    step: int
    discriminator: float
    generator: float


class Progress(Spec):
    """Where a training is, and of what."""

    asked: GanTraining
    """Settings as they were given."""
    training: GanTraining
    """Settings with nothing left open."""
    trained_on: str
    """SHA-256 over the pixels and labels of the training rows."""
    seed: int
    step: int = Field(ge=0)
    slower: float = 1.0
    """Factor of the rates; each time that the training diverged halved it."""
    measured: tuple[Measure, ...] = ()
    losses: tuple[Losses, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on as if it had not been interrupted."""

    progress: Progress
    players: Mapping[str, Tensor]
    """`Players.state`."""
    kept: Mapping[int, Mapping[str, Tensor]]
    """By step, the weights of the averages that may yet be the best."""
    shown: Mapping[int, Tensor] = field(default_factory=dict)
    """By step, a grid of the average's samples, uint8 (H, W, C): a line for each of the first classes."""


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Checkpoint file as bytes."""
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.players.items()}
    for step, weights in checkpoint.kept.items():
        tensors |= {f"{_WEIGHTS}{step}.{name}": tensor.contiguous() for name, tensor in weights.items()}
    tensors |= {f"{_GRIDS}{step}": grid.contiguous() for step, grid in checkpoint.shown.items()}
    data: bytes = safetensors.torch.save(tensors, metadata={_KEY: checkpoint.progress.model_dump_json()})
    return data


def decode_checkpoint(data: bytes, *, name: str) -> Checkpoint:
    """Checkpoint from the bytes of a file. Raises JobError, naming the file, where it is foreign or damaged."""
    try:
        # A safetensors file starts with the length of its JSON header, 8 bytes, little endian.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        progress = Progress.model_validate_json(header["__metadata__"][_KEY])
        tensors = safetensors.torch.load(data)
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError):
        raise JobError(
            f"generator.weights: {name} is no checkpoint that this version can go on from; remove it to train anew"
        ) from None
    kept: dict[int, dict[str, Tensor]] = {}
    for key in [key for key in tensors if key.startswith(_WEIGHTS)]:
        step, _, weight = key.removeprefix(_WEIGHTS).partition(".")
        kept.setdefault(int(step), {})[weight] = tensors.pop(key)
    grids = [key for key in tensors if key.startswith(_GRIDS)]
    shown = {int(key.removeprefix(_GRIDS)): tensors.pop(key) for key in grids}
    return Checkpoint(progress, tensors, kept, shown)
