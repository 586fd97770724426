"""Arrays in .npz files. Only the rows that a range needs are read; nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from hardset.pipeline.sources import ranges
from hardset.pipeline.sources.files import SourceFile
from hardset.pipeline.sources.images import UnreadableImageError
from hardset.pipeline.sources.labels import are_text, plain
from hardset.pipeline.sources.row_files import RowFiles, StoredRow
from hardset.pipeline.sources.unreadable import UnreadableFileError, what_lies_there
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import NpzSource
from hardset.schemas.limits import GIB, MIB, Limits, variable

_LABEL_KINDS = "biufUS"  # bool, signed, unsigned, float, text, bytes, as numpy calls them
_HEAD = 256
_CORRUPT = (zipfile.BadZipFile, zlib.error, EOFError)


@dataclass(frozen=True)
class NpzReader(RowFiles):
    """Reads images (uint8, N x H x W or N x H x W x C, C up to 4) and labels (N) from .npz files."""

    suffix = ".npz"
    spec: NpzSource

    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        """Pieces of the arrays. Raises JobError where the arrays are missing, or of another type or shape."""
        with self.open(file.name) as handle, _archive(handle, file.name) as archive:
            rows = self._checked_rows(archive, file.name)
        return ranges.cut(0, rows, shard_rows)

    def _checked_rows(self, archive: zipfile.ZipFile, name: str) -> int:
        images, image_type = self._header(archive, name, "images", self.spec.images)
        labels, label_type = self._header(archive, name, "labels", self.spec.labels)
        if image_type != np.uint8:
            raise UnreadableFileError(
                f"source.images: {self.spec.images} in {name} is {image_type}; wants uint8, 0 to 255"
            )
        if len(images) not in (3, 4) or (len(images) == 4 and not 1 <= images[3] <= 4):
            planar = len(images) == 4 and 1 <= images[1] <= 4
            raise UnreadableFileError(
                f"source.images: {self.spec.images} in {name} has shape {images}; wants N x H x W or N x H x W x C, "
                "C in 1 to 4" + ("; store images.transpose(0, 2, 3, 1), channels last" if planar else "")
            )
        self._check_labels(labels, label_type, images[0], name)
        return int(images[0])

    def _check_labels(self, shape: tuple[int, ...], kind: np.dtype[Any], rows: int, name: str) -> None:
        found = f"source.labels: {self.spec.labels} in {name} is {kind} of shape {shape}"
        if len(shape) == 2 and shape[0] == rows and shape[1] > 1:
            raise JobError(
                f"{found}, several values a row, and hardset makes rows of one class; of one-hot labels store "
                f"{self.spec.labels}.argmax(1)"
            )
        if kind.kind not in _LABEL_KINDS or shape not in ((rows,), (rows, 1)):
            raise JobError(f"{found}; wants {rows} whole numbers or names, one per image")

    def warnings(self) -> tuple[str, ...]:
        """What is taken for granted: that the second of two channels is alpha, and what every reader does."""
        return (*super().warnings(), *(() if self._two_channels is None else (self._two_channels,)))

    @cached_property
    def _two_channels(self) -> str | None:
        for _, file in self.files:
            with self.open(file.name) as handle, _archive(handle, file.name) as archive:
                shape, _ = self._header(archive, file.name, "images", self.spec.images)
            if len(shape) == 4 and shape[3] == 2:
                return (
                    f"source.images: {self.spec.images} in {file.name} has 2 channels, which are read as grey and "
                    f"alpha (source.alpha: {self.spec.alpha}); store 1 or 3 channels if they are not"
                )
        return None

    def text_labels(self) -> bool:
        """Whether labels are names. Raises JobError where they are in one file and not in another."""
        return are_text(self._label_kinds(), f"source.labels: {self.spec.labels} is")

    def _label_kinds(self) -> Iterator[tuple[str, bool]]:
        for file in self.readable_files:
            with self.open(file.name) as handle, _archive(handle, file.name) as archive:
                kind = self._header(archive, file.name, "labels", self.spec.labels)[1]
            yield file.name, kind.kind in "US"

    def column_types(self) -> Iterator[tuple[str, dict[str, pa.DataType]]]:
        """Types of the other arrays that have as many rows as there are images; of several values a row, lists."""
        for file in self.readable_files:
            with self.open(file.name) as handle, _archive(handle, file.name) as archive:
                rows = self._checked_rows(archive, file.name)
                yield file.name, dict(_column_types(archive, rows, {self.spec.images}))

    def labels(self, file: SourceFile) -> Iterator[Any]:
        """Labels of a file, without its images."""
        with self.open(file.name) as handle, _archive(handle, file.name) as archive:
            rows = self._checked_rows(archive, file.name)
            yield from map(plain, _rows_of(archive, self.spec.labels, 0, rows))

    def _header(
        self, archive: zipfile.ZipFile, name: str, key: str, array: str
    ) -> tuple[tuple[int, ...], np.dtype[Any]]:
        members = [member.removesuffix(".npy") for member in archive.namelist()]
        if array not in members:
            raise UnreadableFileError(
                f"source.{key}: no array {array!r} in {name}; it has: {', '.join(sorted(members))}"
            )
        try:
            with archive.open(f"{array}.npy") as stream:
                shape, fortran, dtype = _array_header(stream)
                _check_size(archive.getinfo(f"{array}.npy"), stream.tell(), shape, fortran, dtype)
        except (ValueError, RuntimeError, *_CORRUPT) as error:  # RuntimeError: encrypted, or folded in an unknown way
            raise UnreadableFileError(f"source.{key}: {array} in {name} is no array: {error}") from error
        return shape, dtype

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        """Rows of the arrays; a fault for each row from where the file is corrupt."""
        with self.open(name) as handle, _archive(handle, name) as archive:
            labels = iter([plain(label) for label in _rows_of(archive, self.spec.labels, start, stop)])
            there = [name for name in self.spec.keep if f"{name}.npy" in archive.namelist()]
            users = zip(*(list(map(_alone, _rows_of(archive, name, start, stop))) for name in there), strict=True)
            try:
                for image in _rows_of(archive, self.spec.images, start, stop):
                    yield StoredRow(next(labels), image, None, dict(zip(there, next(users, ()), strict=False)))
            except _CORRUPT as error:
                fault = UnreadableImageError(f"{self.spec.images} is corrupt from here on: {error}")
                yield from (StoredRow(label, fault) for label in labels)


def _column_types(archive: zipfile.ZipFile, rows: int, without: Container[str]) -> Iterator[tuple[str, pa.DataType]]:
    """Name and type of the arrays of so many rows; those that hold Python objects are none."""
    for name in (member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")):
        try:
            with archive.open(f"{name}.npy") as stream:
                shape, _, dtype = _array_header(stream)
            kind = pa.string() if dtype.kind in "US" else pa.from_numpy_dtype(dtype.newbyteorder("="))
        except (ValueError, pa.ArrowNotImplementedError, *_CORRUPT):
            continue
        if shape[:1] == (rows,) and name not in without:
            yield name, kind if math.prod(shape[1:]) == 1 else pa.list_(kind)


def _alone(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(()) if values.size == 1 else values


def _archive(handle: Any, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(handle)
    except zipfile.BadZipFile as error:
        handle.seek(0)
        told = (
            what_lies_there(handle.read(_HEAD))
            or f"is no .npz file, or is truncated: {error}; put the whole file there"
        )
        raise UnreadableFileError(f"source.path: {name} {told}") from error


def _check_size(
    member: zipfile.ZipInfo, header: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> None:
    """Raises ValueError where an array is not as large as it says, or would take more memory or time than allowed.

    `header`: bytes before the values. All is told by headers; nothing is unfolded.
    """
    limits = Limits.from_environment()
    size = dtype.itemsize * math.prod(shape)
    if any(side < 0 for side in shape) or member.file_size < header + size:
        raise ValueError(
            f"its header says {shape} of {dtype}, and it holds {member.file_size - header} bytes of values"
        )
    if shape and size > shape[0] * limits.value_mib * MIB:
        raise ValueError(f"a row of it is larger than {variable('value_mib')} allows ({limits.value_mib:g} MiB)")
    folded = fortran or member.compress_type != zipfile.ZIP_STORED
    if folded and size > limits.array_gib * GIB:
        raise ValueError(
            f"it unfolds to {size / GIB:,.1f} GiB, more than {variable('array_gib')} allows ({limits.array_gib:g}); "
            "write it with numpy.savez, rows first, or in smaller files"
        )


def _array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index varies fastest, and type. Raises ValueError: no array, or pickled objects."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"unknown .npy version {version}")
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which would have to be unpickled; save it as plain numbers")
    return shape, fortran, dtype


def _rows_of(archive: zipfile.ZipFile, array: str, start: int, stop: int) -> Iterator[NDArray[Any]]:
    """Rows `start` to `stop` of an array. Rows before are skipped, not held; those after are not read.

    Raises one of `_CORRUPT` where the file is.
    """
    with archive.open(f"{array}.npy") as stream:
        shape, fortran, dtype = _array_header(stream)
        if fortran:
            stream.seek(0)
            yield from npy.read_array(stream, allow_pickle=False)[start:stop]
            return
        size = dtype.itemsize * math.prod(shape[1:])
        stream.seek(start * size, io.SEEK_CUR)
        for _ in range(start, stop):
            data = stream.read(size)
            if len(data) < size:
                raise EOFError("it ends too early")
            yield np.frombuffer(data, dtype).reshape(shape[1:])
