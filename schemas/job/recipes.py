"""How output rows are made: the entries of a job file's `recipes` list."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.job.attack_recipe import Attack as Attack  # noqa: PLC0414
from hardset.schemas.job.operations.table import Operation


class Augment(Spec):
    """Augmented rows: operations applied in order, their parameters drawn per row and stored."""

    kind: Literal["augment"] = "augment"
    ops: Annotated[tuple[Operation, ...], Field(min_length=1)]
    """Operations, applied in this order."""
    variants: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Rows made from each source row."""


class GanTraining(Spec):
    """How `hardset train-gan` trains the generator (hinge loss, spectral norm, projection, EMA)."""

    steps: Annotated[int, Field(ge=1)] = 700
    """Generator steps. The default suits 8x8 digits: a quarter of a minute on one core. Photographs want many more."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Real images per step."""
    latent: Annotated[int, Field(ge=1)] = 24
    """Size of the latent vector."""
    features: Annotated[int, Field(ge=8)] = 64
    """Channels of the widest layer."""
    generator_rate: Annotated[float, Field(gt=0)] = 4e-4
    """Adam learning rate of the generator."""
    discriminator_rate: Annotated[float, Field(gt=0)] = 8e-4
    """Adam learning rate of the discriminator."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the generator's moving average, which is what is saved."""


class GeneratorFile(Spec):
    """The class-conditional generator that rows are sampled from."""

    weights: str
    """Path of the .safetensors file that `hardset train-gan` writes; any fsspec URL."""
    training: GanTraining = GanTraining()
    """Settings of `hardset train-gan`; they do not change rows that are sampled from given weights."""


class Sample(Spec):
    """Generated rows: drawn by class from a GAN, each from a latent of its own key."""

    kind: Literal["sample"] = "sample"
    generator: GeneratorFile
    per_class: Annotated[int, Field(ge=1)]
    """Rows drawn for each class."""


Recipe = Annotated[Attack | Augment | Sample, Field(discriminator="kind")]
