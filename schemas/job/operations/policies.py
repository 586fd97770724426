"""Settings of the policies: operations that draw other operations for each row."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardset.schemas.job.operations.amounts import WholeInterval, WholeNumbers, Within
from hardset.schemas.job.operations.base import Fill, Interpolation, OperationSettings
from hardset.schemas.job.operations.leaves import Leaf
from hardset.schemas.job.quantities import bounds

Leaves = Annotated[tuple[Leaf, ...], Field(min_length=1, max_length=60)]
PRIMITIVES = (
    "rotate",
    "shear",
    "translate",
    "brightness",
    "saturation",
    "contrast",
    "sharpen",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "invert",
)
"""Operations that the published policies draw from; their code versions are part of a policy's."""
OVERLAPPING = ("saturation", "contrast", "brightness", "sharpen")
"""Operations of AugMix that overlap the corruptions of ImageNet-C."""


class Choosing(OperationSettings):
    """A policy over operations that the job lists, each with its own settings and `p`."""

    ops: Leaves
    """Operations to choose from; policies and mixing are none of them."""

    @model_validator(mode="after")
    def _of_one_row(self) -> Self:
        for number, spec in enumerate(self.ops):
            if isinstance(spec, OperationSettings) and spec.needs_partner:
                raise ValueError(
                    f"ops.{number}.fill: got partner, which a policy cannot draw; put {spec.name} beside the policy"
                )
        return self

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses what any of the operations refuses."""
        for number, spec in enumerate(self.ops):
            if isinstance(spec, OperationSettings):
                try:
                    spec.check_image(height, width, channels)
                except ValueError as error:
                    raise ValueError(f"ops.{number}.{error}") from None

    def strengths_used(self, height: int, width: int) -> tuple[str, ...]:
        """Sets of strengths of the corruptions among the operations."""
        specs = (spec for spec in self.ops if isinstance(spec, OperationSettings))
        return tuple(dict.fromkeys(name for spec in specs for name in spec.strengths_used(height, width)))


class OneOf(Choosing):
    """Applies one of the operations, drawn for each row."""

    flattens: ClassVar[bool] = True

    name: Literal["one_of"] = "one_of"
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Chance of each operation relative to the others. Empty: all the same."""

    @model_validator(mode="after")
    def _weighed(self) -> OneOf:
        if self.weights and len(self.weights) != len(self.ops):
            raise ValueError(f"weights: got {len(self.weights)}; wants one for each of the {len(self.ops)} ops")
        return self


class SomeOf(Choosing):
    """Applies several different operations, drawn for each row, in an order that is drawn, too."""

    flattens: ClassVar[bool] = True

    name: Literal["some_of"] = "some_of"
    count: Annotated[WholeNumbers, Within(0, 60)] = 2
    """Number of operations."""

    @model_validator(mode="after")
    def _enough(self) -> SomeOf:
        if bounds(self.count)[1] > len(self.ops):
            raise ValueError(f"count: got up to {bounds(self.count)[1]:g}, and there are {len(self.ops)} ops")
        return self


class Shuffle(Choosing):
    """Applies all operations in an order that is drawn for each row."""

    flattens: ClassVar[bool] = True

    name: Literal["shuffle"] = "shuffle"


class Published(OperationSettings):
    """A policy over operations that its paper lists."""

    flattens: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = PRIMITIVES
    """Operations that it draws from."""

    interpolation: Interpolation = "nearest"
    """Values between pixels: of the nearest pixel, or weighed from 2 x 2 or 4 x 4 pixels."""
    fill: Fill = 0
    """Pixels that come in from outside: a level from 0 to 255, `edge`, `reflect`, or the channel's `mean`."""


class RandAugment(Published):
    """Applies `n` of 14 operations, each drawn anew, all with the strength `m`."""

    reference: ClassVar[str] = "Cubuk et al.: RandAugment. https://arxiv.org/abs/1909.13719"

    name: Literal["rand_augment"] = "rand_augment"
    n: Annotated[int, Field(ge=1, le=14)] = 2
    """Number of operations for each row."""
    m: Annotated[WholeNumbers, Within(0, 30)] = 9
    """Strength, from 0 to 30."""


class TrivialAugment(Published):
    """Applies one of 14 operations with one of 31 strengths, both drawn evenly (the wide space)."""

    reference: ClassVar[str] = "Mueller and Hutter: TrivialAugment. https://arxiv.org/abs/2103.10158"

    name: Literal["trivial_augment"] = "trivial_augment"


class AutoAugment(Published):
    """Applies one of 25 published pairs of operations, each with its chance and strength."""

    reference: ClassVar[str] = "Cubuk et al.: AutoAugment. https://arxiv.org/abs/1805.09501"

    name: Literal["auto_augment"] = "auto_augment"
    policy: Literal["cifar", "imagenet", "svhn"] = "imagenet"
    """Data set that the pairs were found on."""


class AugMix(Published):
    """Mixes the image with a weighed sum of `width` chains of operations."""

    reference: ClassVar[str] = "Hendrycks et al.: AugMix. https://arxiv.org/abs/1912.02781"

    name: Literal["aug_mix"] = "aug_mix"
    width: Annotated[int, Field(ge=1, le=10)] = 3
    """Number of chains."""
    depth: Annotated[WholeNumbers, Within(1, 6)] = WholeInterval(min=1, max=3)
    """Number of operations of a chain."""
    severity: Annotated[float, Field(gt=0.1, le=10)] = 3.0
    """Largest strength, of 10; drawn evenly from 0.1 upwards for each operation."""
    alpha: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Parameter of the Dirichlet distribution of the chains' weights, and of the Beta distribution of their share."""
    overlapping: bool = False
    """Whether to draw saturation, contrast, brightness and sharpness, too, which overlap ImageNet-C: a model that saw
    them looks more robust by that measure than it is."""
    interpolation: Interpolation = "bilinear"
    """Values between pixels: of the nearest pixel, or weighed from 2 x 2 or 4 x 4 pixels."""


POLICIES: tuple[type[OperationSettings], ...] = (
    OneOf,
    SomeOf,
    Shuffle,
    RandAugment,
    TrivialAugment,
    AutoAugment,
    AugMix,
)
