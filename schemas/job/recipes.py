"""How output rows are made: the entries of a job file's `recipes` list."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.attack_recipe import Attack as Attack  # noqa: PLC0414
from hardset.schemas.job.attack_recipe import Probability
from hardset.schemas.job.quantities import Rational


class HorizontalFlip(Spec):
    """Mirrors left and right."""

    name: Literal["hflip"] = "hflip"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


class VerticalFlip(Spec):
    """Mirrors top and bottom."""

    name: Literal["vflip"] = "vflip"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


class Rotate(Spec):
    """Turns about the centre, bilinear, with zero fill."""

    name: Literal["rotate"] = "rotate"
    degrees: Annotated[float, Field(gt=0, le=180)]
    """Angles are drawn uniformly from [-degrees, degrees]."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""


class Crop(Spec):
    """Pads all sides with zeros and cuts the original size out at a drawn place."""

    name: Literal["crop"] = "crop"
    padding: Annotated[int, Field(ge=1)]
    """Pixels added on each side, so the largest shift."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""


class GaussianNoise(Spec):
    """Adds independent normal noise to every value."""

    name: Literal["gaussian_noise"] = "gaussian_noise"
    std: Rational
    """Standard deviation on the [0, 1] pixel scale."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""

    @model_validator(mode="after")
    def _positive(self) -> GaussianNoise:
        if not 0 < self.std <= 1:
            raise ValueError(f"std: got {self.std}; wants more than 0 and at most 1")
        return self


Operation = Annotated[HorizontalFlip | VerticalFlip | Rotate | Crop | GaussianNoise, Field(discriminator="name")]


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
