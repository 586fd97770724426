"""Settings of the operations that take parts of the image away."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, WholeInterval, WholeNumbers, Within
from hardset.schemas.job.operations.base import Level, OperationSettings, check_at_most
from hardset.schemas.job.quantities import bounds


class Erase(OperationSettings):
    """Covers a rectangle (random erasing, cutout)."""

    reference: ClassVar[str] = "Zhong et al.: Random Erasing Data Augmentation. https://arxiv.org/abs/1708.04896"
    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["erase"] = "erase"
    area: Annotated[Numbers, Within(0, 1)] = NumberInterval(min=0.02, max=0.33)
    """Share of the image's area, before the rectangle is cut at the rim."""
    ratio: Annotated[Numbers, Within(0.1, 10)] = NumberInterval(min=0.3, max=3.3)
    """Height over width of the rectangle; drawn evenly in its logarithm."""
    fill: Level | Literal["noise", "mean", "partner"] = "mean"
    """Pixels of the rectangle: a level from 0 to 255, noise of even chance for every level, the channel's mean, or
    those of a partner in the same place, another row of the split; the label stays the row's own."""

    @property
    def needs_partner(self) -> bool:
        """Where the rectangle shows one."""
        return self.fill == "partner"


class GridMask(OperationSettings):
    """Covers the squares of a regular grid."""

    reference: ClassVar[str] = "Chen et al.: GridMask Data Augmentation. https://arxiv.org/abs/2001.04086"
    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["grid_mask"] = "grid_mask"
    period: Annotated[WholeNumbers, Within(2, 1000)] = WholeInterval(min=6, max=12)
    """Distance between two squares, in pixels."""
    kept: Annotated[Numbers, Within(0, 1)] = 0.5
    """Share of a period's side that stays visible between two squares."""
    fill: Level = 0
    """Level of the squares."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses periods larger than the image."""
        check_at_most("period", int(bounds(self.period)[1]), max(height, width), height, width)


class PixelDropout(OperationSettings):
    """Covers drawn pixels, all channels of a pixel alike."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["pixel_dropout"] = "pixel_dropout"
    share: Annotated[Numbers, Within(0, 1)] = NumberInterval(min=0.01, max=0.1)
    """Share of the pixels."""
    fill: Level = 0
    """Level that they get."""
