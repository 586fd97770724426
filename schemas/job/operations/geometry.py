"""Settings of the operations that move whole pixels, without working out new values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardset.schemas.job.operations.amounts import WholeNumbers, Within
from hardset.schemas.job.operations.base import Fill, OperationSettings, Probability
from hardset.schemas.job.quantities import bounds


class HorizontalFlip(OperationSettings):
    """Mirrors left and right."""

    name: Literal["hflip"] = "hflip"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


class VerticalFlip(OperationSettings):
    """Mirrors top and bottom."""

    name: Literal["vflip"] = "vflip"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


def check_square(name: str, height: int, width: int) -> None:
    """Raises ValueError where images are not square, so that a quarter turn gives another shape."""
    if height != width:
        raise ValueError(f"name: {name} needs square images, and rows are {height} x {width}; remove it")


class Rotate90(OperationSettings):
    """Turns counter-clockwise by quarter turns."""

    name: Literal["rotate90"] = "rotate90"
    turns: Annotated[WholeNumbers, Within(-3, 3)] = (0, 1, 2, 3)
    """Number of quarter turns."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses odd numbers of turns of images that are not square."""
        low, high = bounds(self.turns)
        turns = self.turns if isinstance(self.turns, tuple) else range(int(low), int(high) + 1)
        if any(turn % 2 for turn in turns):
            check_square(self.name, height, width)


class Transpose(OperationSettings):
    """Mirrors about the diagonal from the top left."""

    name: Literal["transpose"] = "transpose"
    p: Probability = 0.5
    """Share of the rows it is applied to."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses images that are not square."""
        check_square(self.name, height, width)


class D4(OperationSettings):
    """One of the eight symmetries of the square: four turns, with and without a mirror, each as likely."""

    name: Literal["d4"] = "d4"

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses images that are not square."""
        check_square(self.name, height, width)


class Crop(OperationSettings):
    """Pads all sides and cuts the original size out at a drawn place."""

    added: ClassVar[tuple[str, ...]] = ("fill",)

    name: Literal["crop"] = "crop"
    padding: Annotated[int, Field(ge=1, le=16_384)]
    """Pixels added on each side, so the largest shift."""
    fill: Fill = 0
    """Pixels of the padding: a level from 0 to 255, `edge`, `reflect`, or the channel's `mean`."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses shifts that can leave nothing of an image."""
        most = min(height, width) - 1
        if self.padding > most:
            raise ValueError(
                f"padding: got {self.padding}, and rows are {height} x {width} pixels: a shift that large leaves a "
                f"black image; wants at most {most}"
            )
