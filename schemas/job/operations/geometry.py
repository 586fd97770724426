"""Settings of the operations that move pixels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hardset.schemas.job.operations.base import OperationSettings, Probability


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


class Rotate(OperationSettings):
    """Turns about the centre, bilinear, with zero fill."""

    name: Literal["rotate"] = "rotate"
    degrees: Annotated[float, Field(gt=0, le=180)]
    """Angles are drawn uniformly from [-degrees, degrees]."""


class Crop(OperationSettings):
    """Pads all sides with zeros and cuts the original size out at a drawn place."""

    name: Literal["crop"] = "crop"
    padding: Annotated[int, Field(ge=1)]
    """Pixels added on each side, so the largest shift."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses shifts that can leave nothing of an image."""
        most = min(height, width) - 1
        if self.padding > most:
            raise ValueError(
                f"padding: got {self.padding}, and rows are {height} x {width} pixels: a shift that large leaves a "
                f"black image; wants at most {most}"
            )
