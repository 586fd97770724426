"""Settings of the operations that weigh neighbouring pixels."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, WholeInterval, WholeNumbers, Within
from hardset.schemas.job.operations.base import OperationSettings, check_kernel
from hardset.schemas.job.quantities import bounds

IMAGENET_C = (
    "Hendrycks and Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations. "
    "https://arxiv.org/abs/1903.12261"
)


class GaussianBlur(OperationSettings):
    """Blurs with a Gaussian that reaches four standard deviations; beyond the rim lies its nearest pixel."""

    moves: ClassVar[bool] = False

    name: Literal["gaussian_blur"] = "gaussian_blur"
    sigma: Annotated[Numbers, Within(0.05, 50)] = NumberInterval(min=0.1, max=2)
    """Standard deviation in pixels."""


class MedianBlur(OperationSettings):
    """Gives each value the median of its square neighbourhood; beyond the rim lies its nearest pixel."""

    moves: ClassVar[bool] = False

    name: Literal["median_blur"] = "median_blur"
    flattens: ClassVar[bool] = True
    size: Annotated[WholeNumbers, Within(3, 31)] = 3
    """Side of the neighbourhood in pixels, odd."""

    @field_validator("size")
    @classmethod
    def _odd(cls, size: WholeNumbers) -> WholeNumbers:
        if isinstance(size, WholeInterval) or any(s % 2 == 0 for s in (size if isinstance(size, tuple) else (size,))):
            raise ValueError("wants an odd number, or a list of odd numbers such as [3, 5]")
        return size

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses neighbourhoods larger than the image."""
        check_kernel("size", bounds(self.size)[1], height, width)


class MotionBlur(OperationSettings):
    """Blurs along a line through the pixel, evenly."""

    moves: ClassVar[bool] = False

    name: Literal["motion_blur"] = "motion_blur"
    length: Annotated[Numbers, Within(1, 200)] = NumberInterval(min=3, max=7)
    """Length of the line in pixels."""
    degrees: Annotated[Numbers, Within(-180, 180)] = NumberInterval(min=-90, max=90)
    """Angle of the line, counter-clockwise from the right."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses lines longer than the image."""
        check_kernel("length", bounds(self.length)[1], height, width)


class DefocusBlur(OperationSettings):
    """Blurs with a disk, as a lens out of focus does."""

    reference: ClassVar[str] = IMAGENET_C
    moves: ClassVar[bool] = False

    name: Literal["defocus_blur"] = "defocus_blur"
    radius: Annotated[Numbers, Within(0.1, 50)] = NumberInterval(min=1, max=3)
    """Radius of the disk in pixels."""
    alias: Annotated[float, Field(ge=0, le=5)] = 0.1
    """Standard deviation in pixels of the Gaussian that softens the disk's rim."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses disks larger than the image."""
        check_kernel("radius", 2 * bounds(self.radius)[1] + 1, height, width)


class ZoomBlur(OperationSettings):
    """Averages the image with enlargements of its centre."""

    reference: ClassVar[str] = IMAGENET_C
    moves: ClassVar[bool] = False

    name: Literal["zoom_blur"] = "zoom_blur"
    factor: Annotated[Numbers, Within(1, 3)] = NumberInterval(min=1.05, max=1.15)
    """Largest enlargement, left out itself."""
    step: Annotated[float, Field(ge=0.005, le=1)] = 0.01
    """Difference between one enlargement and the next; the first is 1."""


class GlassBlur(OperationSettings):
    """Blurs, swaps each pixel with a drawn neighbour, one after the other, and blurs again."""

    reference: ClassVar[str] = IMAGENET_C
    moves: ClassVar[bool] = False

    name: Literal["glass_blur"] = "glass_blur"
    sigma: Annotated[Numbers, Within(0.05, 20)] = 0.7
    """Standard deviation of both blurs, in pixels."""
    shift: Annotated[int, Field(ge=1, le=20)] = 1
    """Largest distance of the neighbour along each axis, in pixels."""
    rounds: Annotated[int, Field(ge=1, le=10)] = 2
    """Number of times that all pixels are swapped."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses distances that leave no pixel to swap."""
        check_kernel("shift", 2 * self.shift + 1, height, width)


class Sharpen(OperationSettings):
    """Sharpens, or smooths, as Pillow's ImageEnhance.Sharpness does."""

    moves: ClassVar[bool] = False

    name: Literal["sharpen"] = "sharpen"
    factor: Annotated[Numbers, Within(0, 20)] = NumberInterval(min=1, max=3)
    """Factor of the distance from the smoothed image; 0 gives that, 1 changes nothing."""
