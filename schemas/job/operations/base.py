"""Settings that every augmentation operation has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.extensions import Extension, ImportPath
from hardset.schemas.reading.settings import default_of

Probability = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[int, Field(ge=0, le=255)]
"""Value of a pixel on the 8-bit grid."""
Fill = Level | Literal["edge", "reflect", "mean"]
"""Pixels for what comes in from outside: a level for all channels, the nearest pixel of the image, the image mirrored
about its outermost pixels, or the mean of each channel."""
Interpolation = Literal["nearest", "bilinear", "bicubic"]
COLOURS = 3
GROUP = "hardset.augmentations"
"""Group of the entry points that name operations."""


class OperationSettings(Spec):
    """One augmentation: each setting a documented, typed field; the docstring says what the operation does."""

    code: ClassVar[int] = 1
    """Code version, raised when draw or apply begins to make other bytes; part of the shard key where it is not 1."""
    moves: ClassVar[bool] = True
    """Whether pixels of the row's objects move or are replaced, so that boxes and masks no longer fit."""
    reference: ClassVar[str] = ""
    """Paper or specification, as a line with its URL; empty where there is none."""
    added: ClassVar[tuple[str, ...]] = ()
    """Settings that later versions added: recipe texts leave them out at their defaults, so that recipes keep ids."""
    flattens: ClassVar[bool] = False
    """Whether images can come out all of one value although they went in with several."""

    name: str
    """Name of the operation."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""

    @classmethod
    def is_left_out(cls, setting: str, value: object) -> bool:
        """Whether recipe texts leave a setting out at a value, as JSON has it: one of `added`, at its default."""
        return setting in cls.added and bool(value == default_of(cls, setting))

    def recorded(self, *, without: Collection[str] = ()) -> dict[str, Any]:
        """The settings as recipe texts hold them: JSON, without those that are left out, and those of `without`."""
        given = self.model_dump(mode="json", exclude=set(without))
        return {name: value for name, value in given.items() if not self.is_left_out(name, value)}

    @property
    def needs_partner(self) -> bool:
        """Whether it shows another row, from the pool that a plan fixes."""
        return False

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Raises ValueError, which begins with the setting's name, where images of that shape cannot be used."""

    def strengths_used(self, height: int, width: int) -> tuple[str, ...]:
        """Sets of strengths of corruptions that images of that size would meet: cifar, imagenet."""
        return ()


class Warp(OperationSettings):
    """An operation that reads each pixel from another place of the image."""

    interpolation: Interpolation = "bilinear"
    """Values between pixels: of the nearest pixel, or weighed from 2 x 2 or 4 x 4 pixels."""
    fill: Fill = 0
    """Pixels that come in from outside: a level from 0 to 255, `edge`, `reflect`, or the channel's `mean`."""


class ColourSettings(OperationSettings):
    """An operation on red, green and blue."""

    moves: ClassVar[bool] = False

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses images without colours."""
        if channels != COLOURS:
            raise ValueError(
                f"name: {self.name} changes colours, and rows have {channels} channel{'s' * (channels > 1)}; "
                "remove it, or take images with 3 channels"
            )


def check_at_most(setting: str, number: int, most: int, height: int, width: int) -> None:
    """Raises ValueError where a number of pixels or of parts is larger than images of that size allow."""
    if number > most:
        raise ValueError(f"{setting}: got {number}, and rows are {height} x {width}; wants at most {most}")


def check_kernel(setting: str, size: float, height: int, width: int) -> None:
    """Raises ValueError where a kernel of `size` pixels is larger than the images."""
    if size > min(height, width):
        raise ValueError(
            f"{setting}: makes a kernel of {size:g} pixels, and rows are {height} x {width}; wants at most "
            f"{min(height, width)}"
        )


class UserOperation(Extension):
    """An operation of one's own: its import path, or the entry point that stands for it, and its settings."""

    key: ClassVar[str] = "name"
    group: ClassVar[str] = GROUP

    name: ImportPath
    """Import path of a `hardset.pipeline.augment.operation.Operation`, such as `package.module:NAME`."""
