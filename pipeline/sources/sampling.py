"""A sample of a source's rows, spread over all of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.sources.base import SourceReader, narrowed
from hardset.schemas.errors import UserError
from hardset.schemas.records.run import Image, SourceRange

_PIECES, _MOST_PIECES = 16, 256
"""Places that are read from: so many, or as many as there are files and class folders, up to the second number."""


def sample(
    source: SourceReader, ranges: Sequence[SourceRange], image: Image, classes: int, rows: int
) -> tuple[Pixels, NDArray[np.int64]]:
    """At most `rows` rows, uint8 (N, H, W, C), and their labels (N,), from places spread evenly over the source.

    Sources that are sorted by class, in files, folders or rows, give rows of each as often as it has them, which is
    what a sample stratified by class is. Rows and places that cannot be read are left out: the run tells of those.
    """
    total = sum(part.rows for part in ranges)
    files = len({part.file for part in ranges})
    pieces = min(max(_PIECES, files), _MOST_PIECES, rows)
    length = -(-rows // pieces)
    count = min(pieces, -(-total // length))
    pixels: list[Pixels] = []
    labels: list[NDArray[np.int64]] = []
    starts = [number * total // count for number in range(count)]
    for start, following in pairwise([*starts, total]):
        for part in _piece(ranges, start, min(length, following - start)):  # a piece ends where the next one begins
            try:
                found, _ = source.read(part, image, classes)
            except UserError:
                continue
            if len(found):
                pixels.append(found.pixels)
                labels.append(found.labels)
    if not pixels:
        return np.zeros((0, image.height, image.width, image.channels), np.uint8), np.zeros(0, np.int64)
    return np.concatenate(pixels)[:rows], np.concatenate(labels)[:rows]


def _piece(ranges: Sequence[SourceRange], first: int, length: int) -> list[SourceRange]:
    """Up to `length` rows from row `first` of all, as parts of the ranges that hold them."""
    found, before = [], 0
    for part in ranges:
        start, stop = max(first, before), min(first + length, before + part.rows)
        if start < stop:
            found.append(narrowed(part, part.start + start - before, part.start + stop - before))
        before += part.rows
    return found
