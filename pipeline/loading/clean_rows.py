"""The user's own clean rows: a source as job files name them, or any map-style dataset of torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.loading.mixture import WINDOW_BYTES
from hardset.pipeline.loading.order import Groups, Indices
from hardset.pipeline.loading.parts import Part, RowsOfKind
from hardset.pipeline.loading.recent import Recent
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.classes import shown
from hardset.pipeline.sources.labels import comparable
from hardset.pipeline.sources.table import as_of_now, open_source
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import Source
from hardset.schemas.reading.loading import parse_document
from hardset.schemas.records.run import Image

_GROUP_BYTES = 2**22


class _Section(Spec):
    clean: Source
    """Source of clean rows, as in a job file."""


def clean_part(clean: object, image: Image, classes: Sequence[str], *, window_bytes: int = WINDOW_BYTES) -> Part:
    """Clean rows of a source (a mapping as in a job file) or of a map-style dataset of (image, label).

    `image`, `classes`: those of the made rows, which clean rows must have. Raises JobError for anything else.
    """
    if isinstance(clean, Mapping):
        return _of_source(clean, image, classes, window_bytes)
    if isinstance(clean, Sized) and hasattr(clean, "__getitem__") and not isinstance(clean, str):
        return OwnRows(clean, image, len(classes))
    raise JobError(
        f"clean: got a {type(clean).__name__}; wants a source as in a job file, such as "
        '{"format": "imagefolder", "path": "photos/"}, or a map-style dataset of (image, label)'
    )


def _of_source(clean: Mapping[str, Any], image: Image, classes: Sequence[str], window_bytes: int) -> Part:
    section = parse_document({"clean": dict(clean)}, [], _Section, name="clean")
    spec = as_of_now(section.clean)
    source = open_source(spec)
    _check_names(source.class_names(), classes)
    found = source.probe()
    if found != image:
        have, want = (f"{one.height}x{one.width}x{one.channels}" for one in (found, image))
        raise JobError(f"clean: the source has images of {have}, and the made rows of {want}; set size and channels")
    lazy = SourceRows(spec, source, image, len(classes), cache_bytes=2 * window_bytes)
    if int(lazy.groups.bytes.sum()) > window_bytes:
        return lazy
    parts = [source.read(part, image, len(classes)) for part in lazy.ranges]
    _warn(sum(len(rejects) for _, rejects in parts), "are left out")
    rows = [rows for rows, _ in parts if len(rows)]
    if not rows:
        raise JobError("clean: the source has no readable row")
    labels = np.concatenate([part.labels for part in rows])
    return RowsOfKind(np.concatenate([part.pixels for part in rows]), labels, np.zeros(len(labels), np.int64))


def _check_names(names: Sequence[str] | None, classes: Sequence[str]) -> None:
    """Raises JobError where the source has another number of classes than the made rows, or the same in another order.

    Other names may stand for the same classes.
    """
    if names is None:
        return
    if len(names) != len(classes):
        raise JobError(f"clean: the source has {len(names)} classes, and the made rows have {len(classes)}")
    ours, theirs = ([*map(comparable, some)] for some in (names, classes))
    if ours != theirs and sorted(ours) == sorted(theirs):
        raise JobError(
            f"clean: the source has the classes {shown(names)} in this order, and the made rows {shown(classes)}; list "
            "those of the made rows in its classes"
        )


def _warn(lost: int, become: str) -> None:
    if lost:
        warnings.warn(f"clean: {lost} rows cannot be read and {become}", stacklevel=2)


class SourceRows:
    """Rows of a source, read by range when they are asked for. Pickles without what it has read."""

    def __init__(self, spec: Source, source: SourceReader, image: Image, classes: int, *, cache_bytes: int) -> None:
        """Plans `source`, the reader of `spec`. Ranges with fewer readable rows than planned repeat some of them."""
        self._spec, self._names, self._image, self._classes = spec, source.class_names(), image, classes
        self._reader: SourceReader | None = source
        self._process = os.getpid()
        size = image.height * image.width * image.channels
        self.ranges = source.plan(max(1, _GROUP_BYTES // size))
        rows = np.array([part.rows for part in self.ranges], np.int64)
        self.groups = Groups(rows, rows * size)
        self._held: Recent[CleanRows] = Recent(self._read, cache_bytes)

    def __len__(self) -> int:
        return int(self.groups.starts[-1])

    def take(self, rows: Indices) -> RowsOfKind:
        """The rows with these numbers, in their order."""
        groups = np.searchsorted(self.groups.starts, rows, side="right") - 1
        shape = (len(rows), self._image.height, self._image.width, self._image.channels)
        pixels, labels = np.empty(shape, np.uint8), np.empty(len(rows), np.int64)
        for group in np.unique(groups).tolist():
            places = np.flatnonzero(groups == group)
            held, planned = self._held[group], int(self.groups.rows[group])
            chosen = (rows[places] - self.groups.starts[group]) * len(held) // planned
            pixels[places], labels[places] = held.pixels[chosen], held.labels[chosen]
        return RowsOfKind(pixels, labels, np.zeros(len(rows), np.int64))

    def _read(self, number: int) -> tuple[CleanRows, int]:
        rows, rejects = self._source().read(self.ranges[number], self._image, self._classes)
        _warn(len(rejects), f"are replaced by others of {self.ranges[number].file}")
        if not len(rows):
            raise JobError(f"clean: {self.ranges[number].file} holds no readable row")
        return rows, rows.pixels.nbytes

    def _source(self) -> SourceReader:
        """The reader of this process, which knows the digests of its files and the names of its classes."""
        if self._reader is None or self._process != os.getpid():  # a fork shares no connections with its parent
            self._reader, self._process = open_source(self._spec, self._names), os.getpid()
        return self._reader

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_reader": None}


class OwnRows:
    """Rows of a map-style dataset of (image, label): images of [0, 1] or of uint8, rounded to the 8-bit grid."""

    def __init__(self, rows: Any, image: Image, classes: int) -> None:
        self._rows, self._shape, self._classes = rows, (image.height, image.width, image.channels), classes

    @property
    def groups(self) -> Groups | None:
        """None: any row is as near as any other."""
        return None

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: Indices) -> RowsOfKind:
        """The rows with these numbers, in their order. Raises JobError for a row that the made ones do not fit."""
        pixels, labels = np.empty((len(rows), *self._shape), np.uint8), np.empty(len(rows), np.int64)
        for place, row in enumerate(rows.tolist()):
            image, label = self._of(row)
            found = _levels(image)
            if found is None or found.shape != self._shape:
                have = type(image).__name__ if found is None else "x".join(map(str, found.shape))
                want = "x".join(map(str, self._shape))
                raise JobError(
                    f"clean: the image of row {row} is {have}; wants {want} in [0, 1] or uint8, not normalised"
                )
            if not 0 <= int(label) < self._classes:
                raise JobError(
                    f"clean: the label of row {row} is {int(label)}; the made rows have {self._classes} classes"
                )
            pixels[place], labels[place] = found, int(label)
        return RowsOfKind(pixels, labels, np.zeros(len(rows), np.int64))

    def _of(self, row: int) -> tuple[Any, Any]:
        found = self._rows[row]
        if isinstance(found, Mapping) and {"image", "label"} <= found.keys():
            return found["image"], found["label"]
        if isinstance(found, tuple | list) and len(found) >= 2:
            return found[0], found[1]
        raise JobError(f"clean: row {row} is a {type(found).__name__}; wants (image, label)")


def _levels(image: Any) -> Pixels | None:
    """uint8 (H, W, C) of a tensor (C, H, W) or (H, W), an array or a picture (H, W[, C]); None for anything else."""
    values: NDArray[Any]
    if isinstance(image, Tensor):
        values = (image.permute(1, 2, 0) if image.dim() == 3 else image).detach().cpu().numpy()
    else:
        values = np.asarray(image)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.dtype == np.uint8:
        return values if values.ndim == 3 else None
    if values.dtype.kind != "f" or not (values.min() >= 0 and values.max() <= 1):
        return None
    return np.asarray(np.rint(values * 255), np.uint8)
