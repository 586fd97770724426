"""Settings of the operations that lose detail as files and small screens do."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from hardset.schemas.job.operations.amounts import NumberInterval, Numbers, WholeInterval, WholeNumbers, Within
from hardset.schemas.job.operations.base import OperationSettings


class Jpeg(OperationSettings):
    """Compresses as JPEG with Pillow's encoder, and decodes again."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["jpeg"] = "jpeg"
    quality: Annotated[WholeNumbers, Within(1, 100)] = WholeInterval(min=40, max=95)
    """Quality of the encoder."""


class Webp(OperationSettings):
    """Compresses as lossy WebP with Pillow's encoder, and decodes again."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["webp"] = "webp"
    quality: Annotated[WholeNumbers, Within(0, 100)] = WholeInterval(min=40, max=95)
    """Quality of the encoder."""


class Pixelate(OperationSettings):
    """Shrinks the image by averaging boxes, and enlarges the result without smoothing."""

    flattens: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    name: Literal["pixelate"] = "pixelate"
    share: Annotated[Numbers, Within(0, 1, above=True)] = NumberInterval(min=0.5, max=0.95)
    """Side of the shrunken image as a share of the side; at least a pixel is left."""
