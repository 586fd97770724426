"""Settings of the operations that look every value up in a table of 256 entries."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, WholeNumbers, Within
from hardset.schemas.job.operations.base import OperationSettings, Probability, check_at_most


class Brightness(OperationSettings):
    """Multiplies all values by a factor, and adds the same amount to all."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["brightness"] = "brightness"
    amount: Annotated[Numbers, Within(-1, 1)] = NumberInterval(min=-0.2, max=0.2)
    """Amount on the [0, 1] pixel scale."""
    factor: Annotated[Numbers, Within(0, 10)] = 1.0
    """Factor; 1 changes nothing."""


class Contrast(OperationSettings):
    """Scales the distance of all values from the image's mean luminance, as Pillow's ImageEnhance.Contrast does."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["contrast"] = "contrast"
    factor: Annotated[Numbers, Within(0, 10)] = NumberInterval(min=0.7, max=1.3)
    """Factor; 1 changes nothing."""


class Gamma(OperationSettings):
    """Raises values on the [0, 1] scale to a power."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["gamma"] = "gamma"
    gamma: Annotated[Numbers, Within(0.05, 20)] = NumberInterval(min=0.7, max=1.4)
    """Exponent; above 1 darkens."""


class Invert(OperationSettings):
    """Turns every value v into 255 - v."""

    moves: ClassVar[bool] = False

    name: Literal["invert"] = "invert"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


class Solarize(OperationSettings):
    """Inverts the values from a threshold upwards."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["solarize"] = "solarize"
    threshold: Annotated[WholeNumbers, Within(0, 256)] = 128
    """Threshold, a level; 256 changes nothing."""


class Posterize(OperationSettings):
    """Keeps the highest bits of every value."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["posterize"] = "posterize"
    bits: Annotated[WholeNumbers, Within(1, 8)] = 4
    """Number of bits to keep; 8 changes nothing."""


class AutoContrast(OperationSettings):
    """Stretches the values of each channel to the whole range."""

    moves: ClassVar[bool] = False

    name: Literal["autocontrast"] = "autocontrast"


class Equalize(OperationSettings):
    """Evens out the histogram of each channel, as Pillow's ImageOps.equalize does."""

    moves: ClassVar[bool] = False

    name: Literal["equalize"] = "equalize"


class Clahe(OperationSettings):
    """Evens out the histogram of luminance tile by tile, with a limit to what it amplifies (CLAHE)."""

    reference: ClassVar[str] = "Zuiderveld: Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994"
    moves: ClassVar[bool] = False

    name: Literal["clahe"] = "clahe"
    limit: Annotated[Numbers, Within(1, 40)] = NumberInterval(min=1, max=4)
    """Most that a tile's histogram may hold in a bin, in terms of an even histogram."""
    tiles: Annotated[int, Field(ge=1, le=32)] = 8
    """Number of tiles along each side."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses tiles smaller than a pixel."""
        check_at_most("tiles", self.tiles, min(height, width), height, width)


class ToneCurve(OperationSettings):
    """Bends the tone curve: a cubic Bezier curve from black to white whose two inner points are drawn for each row."""

    moves: ClassVar[bool] = False

    name: Literal["tone_curve"] = "tone_curve"
    strength: Annotated[Numbers, Within(0, 0.5)] = 0.2
    """Largest move of the inner points, which lie at a third and two thirds of the range."""
