"""Settings of the operations that stand for weather. All textures are worked out from the row's random numbers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, Within
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.kernels import IMAGENET_C


class Fog(OperationSettings):
    """Adds a plasma fractal, and scales the sum back to the image's largest value."""

    reference: ClassVar[str] = IMAGENET_C
    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["fog"] = "fog"
    amount: Annotated[Numbers, Within(0, 10)] = NumberInterval(min=0.2, max=1)
    """Largest value of the fractal on the [0, 1] pixel scale."""
    decay: Annotated[Numbers, Within(1.05, 10)] = 2.0
    """Factor by which the fractal's roughness falls from one halving of the grid to the next; larger is smoother."""


class Frost(OperationSettings):
    """Lays a procedural texture of ice over the image; ImageNet-C lays photographs of frost, which this is not."""

    reference: ClassVar[str] = IMAGENET_C
    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["frost"] = "frost"
    image: Annotated[Numbers, Within(0, 1)] = NumberInterval(min=0.75, max=1)
    """Factor of the image."""
    ice: Annotated[Numbers, Within(0, 1)] = NumberInterval(min=0.2, max=0.45)
    """Factor of the texture, which is added."""


class Snow(OperationSettings):
    """Lays falling flakes, blurred along their way, over the image, and bleaches it."""

    reference: ClassVar[str] = IMAGENET_C
    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["snow"] = "snow"
    amount: Annotated[Numbers, Within(0, 0.5)] = NumberInterval(min=0.005, max=0.03)
    """Share of the pixels that a flake begins in."""
    bleach: Annotated[Numbers, Within(0, 1)] = 0.2
    """Share of the way from the image to its brightened luminance."""


class Rain(OperationSettings):
    """Draws streaks of rain, all in one direction, and darkens the image a little."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["rain"] = "rain"
    drops: Annotated[Numbers, Within(0, 0.5)] = NumberInterval(min=0.002, max=0.01)
    """Share of the pixels that a streak begins in."""
    length: Annotated[Numbers, Within(0.01, 1)] = 0.08
    """Length of the streaks as a share of the image's shorter side."""
    degrees: Annotated[Numbers, Within(-60, 60)] = NumberInterval(min=-20, max=20)
    """Angle of the streaks from the vertical."""


class Spatter(OperationSettings):
    """Splashes of water, pale, or of mud, brown."""

    reference: ClassVar[str] = IMAGENET_C
    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["spatter"] = "spatter"
    cover: Annotated[Numbers, Within(0, 1)] = NumberInterval(min=0.05, max=0.2)
    """Share of the pixels that are splashed."""
    kind: Literal["water", "mud"] = "water"
    """Liquid."""
