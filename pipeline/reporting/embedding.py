"""Images as data: URIs within a number of bytes: whole and exact where they fit, else whole, else shrunk."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image as Pictures

from hardset.pipeline.reporting.enlarging import fitted, pictured
from hardset.pipeline.reporting.examples import Image

SMALL = 96
"""Side in pixels of the smallest picture that a large image is shrunk to."""
_SIDES = (160, 128)
_QUALITY = 88


@dataclass(frozen=True)
class Embedded:
    """A picture for an `img` element."""

    uri: str
    """data: URI of a PNG (exact pixels) or a JPEG without chroma subsampling."""
    note: str
    """What the page had to leave out of the image; empty where it has every pixel exactly."""


def embedded(pixels: Image, most_bytes: int, *, difference: bool = False) -> Embedded:
    """The image (uint8 H x W x C) in at most `most_bytes` bytes of base64, or as small as it is ever made.

    `difference`: shrink by dropping pixels, because averaging would remove noise.
    """
    for form in _forms(pixels, difference=difference):
        if len(form.uri) <= most_bytes:
            break
    return form


def _forms(pixels: Image, *, difference: bool) -> Iterator[Embedded]:
    """Forms of the image, the most exact first; at least one."""
    whole, longest = pictured(pixels), max(pixels.shape[:2])
    yield Embedded(_uri(whole, "png"), "")
    if longest > SMALL:
        yield Embedded(_uri(whole, "jpeg"), "compressed here; the dataset has every pixel")
        for side in (side for side in (*_SIDES, SMALL) if side < longest):
            note = f"shrunk here to {side} of {longest} pixels; the dataset has them all"
            yield Embedded(_uri(fitted(pixels, side, difference=difference), "jpeg"), note)


def _uri(picture: Pictures.Image, kind: str) -> str:
    buffer = io.BytesIO()
    if kind == "png":
        picture.save(buffer, "PNG", compress_level=9)
    else:
        picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
