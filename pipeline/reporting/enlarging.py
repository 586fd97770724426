"""Images for display: enlarged without blur, differences amplified about mid-grey."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pictures

from hardset.pipeline.reporting.examples import Example, Image

MID_GREY = 128


def amplification(examples: Sequence[Example]) -> int:
    """Largest integer factor at which the largest change among the examples fits about mid-grey; at least 1."""
    largest = max((_change(example) for example in examples), default=0)
    return max(1, 127 // largest) if largest else 1


def amplified_difference(clean: Image, made: Image, factor: int) -> Image:
    """Mid-grey plus `factor` times the change of every value, clipped to 8 bits. uint8, H x W x C."""
    change = made.astype(np.int32) - clean.astype(np.int32)
    return np.clip(MID_GREY + factor * change, 0, 255).astype(np.uint8)


def tile(pixels: Image, side: int) -> Pictures.Image:
    """Square RGB picture with the image centred, enlarged without blur or shrunk. `side` in pixels."""
    picture = fitted(pixels, side)
    square = Pictures.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def fitted(pixels: Image, side: int, *, difference: bool = False) -> Pictures.Image:
    """The image with its longer side scaled to `side` pixels; enlarged pixels stay squares.

    Differences are shrunk by dropping pixels, because averaging would remove noise.
    """
    picture = pictured(pixels)
    longest = max(picture.size)
    size = (max(1, picture.width * side // longest), max(1, picture.height * side // longest))
    if longest <= side:
        times = -(-side // longest)
        large = picture.resize((picture.width * times, picture.height * times), Pictures.Resampling.NEAREST)
        return large.resize(size, Pictures.Resampling.BOX)
    return picture.resize(size, Pictures.Resampling.NEAREST if difference else Pictures.Resampling.LANCZOS)


def pictured(pixels: Image) -> Pictures.Image:
    """The image as a picture of its own size, grey or RGB."""
    return Pictures.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert(
        "L" if pixels.shape[2] == 1 else "RGB"
    )


def _change(example: Example) -> int:
    if example.clean is None:
        return 0
    return int(np.abs(example.made.astype(np.int16) - example.clean.astype(np.int16)).max())
