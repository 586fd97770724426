"""Checkpoints of GAN trainings, beside the weights that they become, on any storage."""

from __future__ import annotations

from hardset.pipeline.gans.checkpoints import Checkpoint, decode_checkpoint, encode_checkpoint
from hardset.pipeline.storage.folder import place_of

_SUFFIX = ".checkpoint"


def save_checkpoint(checkpoint: Checkpoint, weights: str) -> None:
    """Writes the checkpoint of the training that makes `weights`, over the one before.

    Raises RunError where the storage refuses.
    """
    folder, name = place_of(weights)
    folder.write(name + _SUFFIX, encode_checkpoint(checkpoint))


def saved_checkpoint(weights: str) -> Checkpoint | None:
    """The checkpoint of the training that makes `weights`; None where there is none.

    Raises JobError where it is foreign or damaged; RunError where the storage refuses.
    """
    folder, name = place_of(weights)
    try:
        data = folder.read(name + _SUFFIX)
    except FileNotFoundError:
        return None
    return decode_checkpoint(data, name=name + _SUFFIX)


def remove_checkpoint(weights: str) -> None:
    """Removes it, if it is there."""
    folder, name = place_of(weights)
    if folder.exists(name + _SUFFIX):
        folder.delete(name + _SUFFIX)
