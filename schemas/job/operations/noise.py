"""Settings of the operations that add noise."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, Within
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.kernels import IMAGENET_C
from hardset.schemas.job.quantities import Range, Rational, bounds


class GaussianNoise(OperationSettings):
    """Adds independent normal noise to every value."""

    code: ClassVar[int] = 2
    moves: ClassVar[bool] = False

    name: Literal["gaussian_noise"] = "gaussian_noise"
    std: Rational | Range | Annotated[tuple[Rational, ...], Field(min_length=1)]
    """Standard deviation on the [0, 1] pixel scale."""

    @field_validator("std")
    @classmethod
    def _positive(cls, std: Rational | Range | tuple[Rational, ...]) -> Rational | Range | tuple[Rational, ...]:
        low, high = bounds(std)
        if low <= 0 or high > 1:
            raise ValueError("wants more than 0 and at most 1")
        return std


class ShotNoise(OperationSettings):
    """Counts photons: a value is a Poisson count, divided by the number of photons that white has on average."""

    reference: ClassVar[str] = IMAGENET_C
    moves: ClassVar[bool] = False

    name: Literal["shot_noise"] = "shot_noise"
    photons: Annotated[Numbers, Within(1, 100_000)] = NumberInterval(min=60, max=500)
    """Mean number of photons of a value of 255; fewer make more noise."""


class ImpulseNoise(OperationSettings):
    """Gives drawn values 0 or 255, each as likely."""

    reference: ClassVar[str] = IMAGENET_C
    moves: ClassVar[bool] = False

    name: Literal["impulse_noise"] = "impulse_noise"
    amount: Annotated[Numbers, Within(0, 1)] = NumberInterval(min=0.01, max=0.07)
    """Share of the values."""


class SpeckleNoise(OperationSettings):
    """Multiplies every value by 1 plus independent normal noise."""

    reference: ClassVar[str] = IMAGENET_C
    moves: ClassVar[bool] = False

    name: Literal["speckle_noise"] = "speckle_noise"
    std: Annotated[Numbers, Within(0, 2)] = NumberInterval(min=0.06, max=0.2)
    """Standard deviation relative to the value."""
