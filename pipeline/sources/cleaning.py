"""Cleaning of raw rows into clean rows and rejects, and the shape that all rows of a run get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

import numpy as np

from hardset.pipeline.batches import CleanRows, Reject, RowError
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.images import Decoded, Decoding, Pixels, check_pixels, decoded, fit, flatten
from hardset.pipeline.sources.labels import LabelError
from hardset.pipeline.sources.signs import signs_of
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageSource
from hardset.schemas.records import run as records

_PROBE_READABLE = 16
_PROBE_ROWS = 256


class NoImageError(RowError):
    """The row holds no image bytes."""


class SizesDifferError(JobError):
    """The rows differ in size, and the job asks for none."""

    def __init__(self, message: str, side: int) -> None:
        super().__init__(message)
        self.side = side
        """Shortest side among the rows that were compared, in pixels."""


def clean_rows(
    raws: Iterable[RawRow], spec: ImageSource, image: records.Image, classes: int
) -> tuple[CleanRows, list[Reject]]:
    """Decodes and fits every row by itself; a row that cannot be used becomes a reject and takes no neighbour along."""
    kept: list[tuple[RawRow, int, Pixels]] = []
    signs, rejects = [], []
    for raw in raws:
        try:
            label = _label(raw.label, classes, getattr(spec, "label_offset", 0))
            found = _decoded(raw, spec)
            kept.append((raw, label, fit(found.pixels, image, resize=_resize(spec), max_pixels=spec.max_pixels)))
            signs.append(signs_of(found))
        except RowError as error:
            rejects.append(Reject.of(error, index=raw.index, key=raw.key, stage="read"))
    shape = (len(kept), image.height, image.width, image.channels)
    rows = CleanRows(
        pixels=np.stack([pixels for _, _, pixels in kept]) if kept else np.zeros(shape, np.uint8),
        labels=np.array([label for _, label, _ in kept], np.int64),
        keys=tuple(raw.key for raw, _, _ in kept),
        indices=np.array([raw.index for raw, _, _ in kept], np.int64),
        sha256=tuple(image_sha256(pixels) for _, _, pixels in kept),
        signs=tuple(signs) if any(signs) else (),
        user={name: tuple(raw.user[name] for raw, _, _ in kept) for name in (kept[0][0].user if kept else ())},
        row_ids=tuple(raw.row_id for raw, _, _ in kept) if any(raw.row_id for raw, _, _ in kept) else (),
    )
    return rows, rejects


def probe_image(raws: Iterable[RawRow], spec: ImageSource, channels: Literal[1, 3] | None = None) -> records.Image:
    """Shape of a run's rows, from the job where it says all, else from the first readable rows.

    `channels`: those of most rows of a sample; None: those of the first readable row. Raises JobError: no readable
        row among the first 256; no size asked for and the first 16 readable rows disagree.
    """
    if spec.size is not None and spec.channels != "auto":
        return records.Image(height=_sides(spec.size)[0], width=_sides(spec.size)[1], channels=spec.channels)
    readable = _readable(raws, spec)
    first_key, first = next(readable)
    if spec.size is not None:
        height, width = _sides(spec.size)
    else:
        height, width = first.shape[:2]
        for key, pixels in islice(readable, _PROBE_READABLE - 1):
            if pixels.shape[:2] != (height, width):
                raise SizesDifferError(
                    f"source.size: rows differ in size: {first_key} is {height} x {width} and {key} is "
                    f"{pixels.shape[0]} x {pixels.shape[1]} (height x width); set source.size, such as 224",
                    min(height, width, *pixels.shape[:2]),
                )
    found: Literal[1, 3] = channels or (1 if first.shape[2] == 1 else 3)
    return records.Image(height=height, width=width, channels=found if spec.channels == "auto" else spec.channels)


def channel_counts(raws: Iterable[RawRow], spec: ImageSource) -> dict[Literal[1, 3], int]:
    """Number of grey and of coloured rows among those that can be read."""
    found: dict[Literal[1, 3], int] = {1: 0, 3: 0}
    for raw in raws:
        try:
            found[1 if _decoded(raw, spec).pixels.shape[2] == 1 else 3] += 1
        except RowError:
            continue
    return found


def _readable(raws: Iterable[RawRow], spec: ImageSource) -> Iterator[tuple[str, Pixels]]:
    """Decoded rows among the first 256. Raises JobError if there is none."""
    fault: tuple[str, RowError] | None = None
    found = False
    for raw in islice(raws, _PROBE_ROWS):
        try:
            pixels = _decoded(raw, spec).pixels
        except RowError as error:
            fault = fault or (raw.key, error)
            continue
        found = True
        yield raw.key, pixels
    if not found:
        why = f"none of the first rows can be read; {fault[0]}: {fault[1]}" if fault else "it holds no rows"
        raise JobError(f"source: {why}")


def _decoded(raw: RawRow, spec: ImageSource) -> Decoded:
    if isinstance(raw.image, RowError):
        raise raw.image
    if isinstance(raw.image, bytes):
        rules = Decoding(alpha=spec.alpha, exif=spec.exif, bits=spec.bits)
        return decoded(raw.image, max_pixels=spec.max_pixels, rules=rules)
    check_pixels(raw.image, max_pixels=spec.max_pixels)
    return Decoded(flatten(raw.image, spec.alpha))


def _label(label: int | RowError | None, classes: int, offset: int) -> int:
    """The class number, checked. `offset`: label of class 0, for the sentence."""
    if isinstance(label, RowError):
        raise label
    if label is None:
        raise LabelError("label is null")
    if not 0 <= label < classes:
        mend = "; set source.label_offset: 1 if labels start at 1" if label == classes and not offset else ""
        raise LabelError(f"label {label + offset} is not in {offset} to {classes - 1 + offset}{mend}")
    return label


def _resize(spec: ImageSource) -> Literal["crop", "stretch"] | None:
    return spec.resize if spec.size is not None else None


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size
