"""Images as data: URIs within a number of bytes: whole and exact where they fit, else whole, else shrunk."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pictures

from hardset.pipeline.reporting.enlarging import fitted, pictured
from hardset.pipeline.reporting.examples import Image

MOST_IMAGES = 200
"""Maximum number of images of a page."""
MOST_BYTES = 3_400_000
"""Maximum size of all images of a page together, as base64, in bytes."""
SMALL = 96
"""Side in pixels of the smallest picture that a large image is shrunk to."""
_SIDES = (160, 128, SMALL)
_EXACT: dict[str, Any] = {"lossless": True, "method": 2}


@dataclass(frozen=True)
class Embedded:
    """A picture for an `img` element."""

    uri: str
    """data: URI of a PNG or WebP file."""
    note: str
    """What the page had to leave out of the image; empty where it has every pixel exactly."""


def embedded(pixels: Image, most_bytes: int, *, difference: bool = False) -> Embedded:
    """The image (uint8 H x W x C) in at most `most_bytes` bytes of base64, or as small as it is ever made.

    `difference`: keep the noise: shrink by dropping pixels, because averaging would remove it, and compress last.
    """
    for form in _forms(pixels, difference=difference):
        if len(form.uri) <= most_bytes:
            break
    return form


def _forms(pixels: Image, *, difference: bool) -> Iterator[Embedded]:
    """Forms of the image, the most exact first; at least one."""
    whole, longest = pictured(pixels), max(pixels.shape[:2])
    yield Embedded(_uri(whole, "png", compress_level=6), "")
    if longest <= SMALL:
        return
    yield Embedded(_uri(whole, "webp", **_EXACT), "")
    if not difference:
        for quality in (85, 75):
            yield Embedded(_uri(whole, "webp", quality=quality), "compressed here; the dataset has every pixel")
    for side in (side for side in _SIDES if side < longest):
        note = f"shrunk here to {side} of {longest} pixels; the dataset has them all"
        shrunk = fitted(pixels, side, difference=difference)
        yield Embedded(_uri(shrunk, "webp", **(_EXACT if difference else {"quality": 85})), note)
    if difference:
        yield Embedded(_uri(shrunk, "webp", quality=75), note)


def _uri(picture: Pictures.Image, kind: str, **settings: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind.upper(), **settings)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
