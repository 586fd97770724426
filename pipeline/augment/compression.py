"""Operations that lose detail as files and small screens do, by Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from hardset.pipeline.augment.draws import numbers, wholes
from hardset.pipeline.augment.operation import Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.compression import Jpeg, Pixelate, Webp


def encoded(image: Pixels, kind: str, **settings: Any) -> Pixels:
    """Image written as a file of a kind that Pillow knows, and read again."""
    file = io.BytesIO()
    as_picture(image).save(file, kind, **settings)
    with Image.open(file) as read:
        grey = image.shape[2] == 1
        found = np.asarray(read.convert("L") if grey and read.mode != "L" else read)
    return found.reshape(image.shape)


def as_picture(image: Pixels) -> Image.Image:
    """Image as Pillow has it, grey or in colours."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.ascontiguousarray(image))


def pixelated(image: Pixels, share: float) -> Pixels:
    """Image shrunk to a share of its sides, rounded down, by averaging boxes, and enlarged without smoothing."""
    height, width = image.shape[:2]
    few = max(1, int(width * share)), max(1, int(height * share))
    box = Image.Resampling.BOX
    return np.asarray(as_picture(image).resize(few, box).resize((width, height), box)).reshape(image.shape)


def _jpeg(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return encoded(image, "JPEG", quality=drawn["quality"])


def _webp(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    # Method 0 is the fastest of the encoder's seven; quality alone says how much is lost.
    return encoded(image, "WEBP", quality=drawn["quality"], method=0)


def _pixelate(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return pixelated(image, drawn["share"])


COMPRESSION = (
    LevelOperation(Jpeg, wholes("quality"), _jpeg),
    LevelOperation(Webp, wholes("quality"), _webp),
    LevelOperation(Pixelate, numbers("share"), _pixelate),
)
