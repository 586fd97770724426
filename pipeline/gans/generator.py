"""A trained generator and its card, which states its output and its training data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from hardset.pipeline.gans import hinge_projection_1
from hardset.pipeline.gans.architectures import ARCHITECTURES
from hardset.pipeline.gans.networks import ARCHITECTURE
from hardset.pipeline.gans.shape import Shape
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.recipes import GanTraining
from hardset.schemas.records.run import Image

Size = Annotated[int, Field(ge=1)]


class Card(Spec):
    """Facts stored beside the weights: enough to build the network and to trace its origin."""

    architecture: str = ARCHITECTURE
    latent: Size
    classes: Size
    features: Size
    width: Size
    height: Size
    channels: Literal[1, 3]
    value_range: tuple[Literal[0], Literal[1]] = (0, 1)
    trained_on: str
    """SHA-256 over the pixels and labels of the training rows."""
    rows: Size
    """Number of training rows."""
    seed: int
    step: int | None = None
    """Step of the training whose average this is; None in files of versions that kept the last."""
    training: GanTraining

    @model_validator(mode="before")
    @classmethod
    def _first_architecture(cls, document: Any) -> Any:
        # Its cards name no loss, as there was one.
        match document:
            case {"architecture": hinge_projection_1.ARCHITECTURE, "training": {**training}}:
                return {**document, "training": {"loss": "hinge", **training}}
        return document

    def shape(self) -> Shape:
        """Shape of the network. Raises ValueError if no such network can be built."""
        return Shape(self.classes, self.height, self.width, self.channels, self.latent, self.features)

    def network(self) -> nn.Module:
        """The network without weights: on the meta device, so that a card with false sizes allocates no memory.

        Draws no random number. Raises ValueError if no such network can be built, KeyError for an architecture that
        this version does not know.
        """
        with torch.device("meta"):
            return ARCHITECTURES[self.architecture](self.shape())


@dataclass(frozen=True)
class Output:
    """What a generator that hardset did not train takes and makes."""

    latent: int
    height: int
    width: int
    channels: int
    classes: int = 0
    """0: as many as the job has."""


@dataclass(frozen=True)
class Generator:
    """A trained generator, in eval mode and frozen."""

    net: nn.Module
    """Latents (N, latent) and classes (N,) to images (N, C, H, W) in [0, 1]; keys (N,) too where it `takes_keys`."""
    card: Card | Output
    sha256: str = ""
    """SHA-256 of the generator's file, or of all that fixes what it makes; empty until it has one."""
    uniform: bool = False
    """Whether latents are uniform in [-1, 1] instead of standard normal."""
    takes_keys: bool = False
    """Whether it draws noise of its own from the rows' keys."""


def check_fit(card: Card | Output, *, classes: int | None, image: Image | None, key: str) -> None:
    """Raises JobError, naming `key`, if the generator does not produce the job's classes or image shape."""
    if classes is not None and card.classes not in (0, classes):
        raise JobError(
            f"{key}: the generator makes {card.classes} classes, the job has {classes}; "
            "train one for this job with `hardset train-gan JOB`"
        )
    made = (card.height, card.width, card.channels)
    if image is not None and made != (image.height, image.width, image.channels):
        raise JobError(
            f"{key}: the generator makes images of {_text(*made)}, the job's are "
            f"{_text(image.height, image.width, image.channels)}; train one for this job with `hardset train-gan JOB`"
        )


def _text(height: int, width: int, channels: int) -> str:
    return f"{height} x {width} pixels with {channels} channel{'s' if channels > 1 else ''}"
