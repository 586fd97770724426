"""Settings of the operations on colours."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, WholeNumbers, Within
from hardset.schemas.job.operations.base import ColourSettings, Level, Probability


class Hue(ColourSettings):
    """Turns the hue; saturation and value of HSV stay."""

    name: Literal["hue"] = "hue"
    degrees: Annotated[Numbers, Within(-180, 180)] = NumberInterval(min=-20, max=20)
    """Angle on the wheel of hues: 120 turns red into green."""


class Saturation(ColourSettings):
    """Moves colours towards grey or away from it, as Pillow's ImageEnhance.Color does."""

    flattens: ClassVar[bool] = True

    name: Literal["saturation"] = "saturation"
    factor: Annotated[Numbers, Within(0, 10)] = NumberInterval(min=0.5, max=1.5)
    """Factor; 0 gives grey, 1 changes nothing."""


class ColorJitter(ColourSettings):
    """Changes brightness, contrast, saturation and hue, in an order that is drawn for each row."""

    flattens: ClassVar[bool] = True

    name: Literal["color_jitter"] = "color_jitter"
    brightness: Annotated[Numbers, Within(0, 10)] = NumberInterval(min=0.8, max=1.2)
    """Factor of all values."""
    contrast: Annotated[Numbers, Within(0, 10)] = NumberInterval(min=0.8, max=1.2)
    """Factor of the distance from the mean luminance."""
    saturation: Annotated[Numbers, Within(0, 10)] = NumberInterval(min=0.8, max=1.2)
    """Factor of the distance from grey."""
    hue: Annotated[Numbers, Within(-180, 180)] = NumberInterval(min=-18, max=18)
    """Angle on the wheel of hues, in degrees."""


class Grayscale(ColourSettings):
    """Gives all channels the luminance of ITU-R 601-2."""

    flattens: ClassVar[bool] = True

    name: Literal["grayscale"] = "grayscale"
    p: Probability = 0.2
    """Share of the rows it is applied to."""


class ChannelShuffle(ColourSettings):
    """Puts the channels in an order that is drawn for each row; each of the six orders is as likely."""

    name: Literal["channel_shuffle"] = "channel_shuffle"


class ChannelDropout(ColourSettings):
    """Gives drawn channels one value."""

    flattens: ClassVar[bool] = True

    name: Literal["channel_dropout"] = "channel_dropout"
    channels: Annotated[WholeNumbers, Within(1, 2)] = 1
    """Number of channels."""
    fill: Level = 0
    """Level that they get."""
