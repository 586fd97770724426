"""Settings of the operations that read pixels from places between pixels."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, Within
from hardset.schemas.job.operations.base import Fill, Interpolation, OperationSettings, Warp


class Rotate(Warp):
    """Turns counter-clockwise about the centre."""

    code: ClassVar[int] = 2

    name: Literal["rotate"] = "rotate"
    degrees: Annotated[Numbers, Within(-180, 180)]
    """Angle; a number alone stands for angles from -degrees to degrees, each as likely."""

    @field_validator("degrees")
    @classmethod
    def _above_zero(cls, degrees: Numbers) -> Numbers:
        if isinstance(degrees, float | int) and degrees <= 0:
            raise ValueError("wants a number above 0 and at most 180, or {min, max}, or a list")
        return degrees


class Translate(Warp):
    """Shifts the image."""

    name: Literal["translate"] = "translate"
    x: Annotated[Numbers, Within(-0.99, 0.99)] = NumberInterval(min=-0.1, max=0.1)
    """Shift to the right, as a share of the width."""
    y: Annotated[Numbers, Within(-0.99, 0.99)] = NumberInterval(min=-0.1, max=0.1)
    """Shift downwards, as a share of the height."""


class Shear(Warp):
    """Slants the image about its centre."""

    name: Literal["shear"] = "shear"
    x: Annotated[Numbers, Within(-80, 80)] = NumberInterval(min=-15, max=15)
    """Angle by which vertical lines lean, in degrees."""
    y: Annotated[Numbers, Within(-80, 80)] = 0.0
    """Angle by which horizontal lines lean, in degrees."""


class Scale(Warp):
    """Enlarges or shrinks the image about its centre; its size in pixels stays."""

    name: Literal["scale"] = "scale"
    factor: Annotated[Numbers, Within(0.05, 20)] = NumberInterval(min=0.8, max=1.25)
    """Factor; above 1 enlarges."""


class Affine(Warp):
    """Scales, shears, turns and shifts about the centre, in this order, in one reading of the image."""

    name: Literal["affine"] = "affine"
    degrees: Annotated[Numbers, Within(-180, 180)] = NumberInterval(min=-15, max=15)
    """Angle, counter-clockwise."""
    factor: Annotated[Numbers, Within(0.05, 20)] = NumberInterval(min=0.9, max=1.1)
    """Factor; above 1 enlarges."""
    x: Annotated[Numbers, Within(-0.99, 0.99)] = NumberInterval(min=-0.1, max=0.1)
    """Shift to the right, as a share of the width."""
    y: Annotated[Numbers, Within(-0.99, 0.99)] = NumberInterval(min=-0.1, max=0.1)
    """Shift downwards, as a share of the height."""
    shear: Annotated[Numbers, Within(-80, 80)] = 0.0
    """Angle by which vertical lines lean, in degrees."""


class Perspective(Warp):
    """Moves each corner inwards by a share of its own, as if the image were seen from aside."""

    name: Literal["perspective"] = "perspective"
    distortion: Annotated[Numbers, Within(0, 0.9)] = 0.3
    """Largest move of a corner, as a share of half the width and of half the height."""


class RandomResizedCrop(OperationSettings):
    """Cuts out a rectangle and enlarges it to the original size, without smoothing where that shrinks."""

    reference: ClassVar[str] = "Szegedy et al.: Going Deeper with Convolutions. https://arxiv.org/abs/1409.4842"

    name: Literal["random_resized_crop"] = "random_resized_crop"
    area: Annotated[Numbers, Within(0, 1, above=True)] = NumberInterval(min=0.08, max=1.0)
    """Share of the image's area."""
    ratio: Annotated[Numbers, Within(0.1, 10)] = NumberInterval(min=0.75, max=1.3333)
    """Width over height of the rectangle, in terms of the image's own; drawn evenly in its logarithm."""
    interpolation: Interpolation = "bilinear"
    """Values between pixels: of the nearest pixel, or weighed from 2 x 2 or 4 x 4 pixels."""


class Elastic(Warp):
    """Moves pixels by a smooth random field."""

    reference: ClassVar[str] = "Simard et al.: Best Practices for Convolutional Neural Networks, ICDAR 2003"

    name: Literal["elastic"] = "elastic"
    alpha: Annotated[Numbers, Within(0, 1000)] = 3.0
    """Largest shift of a pixel, in pixels."""
    sigma: Annotated[Numbers, Within(0.5, 200)] = 4.0
    """Width of the field's bumps: standard deviation of the Gaussian that smooths it, in pixels."""
    fill: Fill = "reflect"
    """Pixels that come in from outside: a level from 0 to 255, `edge`, `reflect`, or the channel's `mean`."""


class GridDistortion(Warp):
    """Stretches and squeezes the columns and rows of a grid, each by its own factor."""

    name: Literal["grid_distortion"] = "grid_distortion"
    cells: Annotated[int, Field(ge=1, le=64)] = 5
    """Number of cells along each side."""
    limit: Annotated[Numbers, Within(0, 0.95)] = 0.3
    """Largest change of a cell's side, as a share of it, before all cells are scaled to fill the image again."""


class OpticalDistortion(Warp):
    """Bends straight lines as a lens does: radius r is read from r (1 + strength r^2), the corner lying at r = 1."""

    name: Literal["optical_distortion"] = "optical_distortion"
    strength: Annotated[Numbers, Within(-0.6, 2)] = NumberInterval(min=-0.3, max=0.3)
    """Strength; above 0 shrinks the rim towards the centre, below 0 widens it."""
