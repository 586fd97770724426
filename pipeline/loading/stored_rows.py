"""Rows of data files, read by row group when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import decode_pngs, stored_length, stored_pixels
from hardset.pipeline.dataset.files.scan import StoredFile
from hardset.pipeline.loading.columns import values_of
from hardset.pipeline.loading.filters import Condition, Filters
from hardset.pipeline.loading.mixture import WINDOW_BYTES
from hardset.pipeline.loading.order import Groups, Indices
from hardset.pipeline.loading.parts import RowsOfKind, Values
from hardset.pipeline.loading.recent import Recent
from hardset.pipeline.storage.folder import Folder, in_parallel
from hardset.schemas.errors import JobError, RunError, UserError, one_line
from hardset.schemas.records.run import DataFile, Image
from hardset.schemas.rows.contract import COLUMNS

LABEL, SEED, SECOND_LABEL = "label", "seed", "label_2"
_IMAGE = "image.bytes"
_TYPES = {column.name: column.type for column in COLUMNS}
_OPEN_FILES = 64
_AT_ONCE = 2**19
"""Bytes of image files that are decoded together: few enough to stay in a core's own cache."""
_SWITCHING = Lock()


@dataclass(frozen=True)
class _Group:
    file: int
    number: int
    rows: int
    bytes: int
    places: Indices | None
    """Positions of the rows that meet the condition; None: all of them."""
    mixed: bool
    """Whether some row has a second label."""


@dataclass(frozen=True)
class _Held:
    """A row group in memory."""

    images: NDArray[np.uint8] | pa.BinaryArray
    """Image files (N, L) where all are of one length; else as Arrow holds them."""
    columns: dict[str, Values]


class StoredRows:
    """Rows of some data files of a dataset folder, in the order of the files. Pickles without what it has read."""

    def __init__(
        self,
        folder: Folder,
        files: Sequence[DataFile],
        image: Image,
        *,
        columns: Sequence[str] = (),
        filters: Filters | None = None,
        seeds: bool = False,
        unlabelled: bool = False,
        cache_bytes: int = 2 * WINDOW_BYTES,
    ) -> None:
        """Reads the footers, and with `filters` the columns that they look at; no image.

        `columns`: further ones that are read; `seeds`: whether the rows' seeds are. `unlabelled`: whether rows without
        a label, -1, may be taken. `cache_bytes`: row groups that are kept. Raises JobError for a column that there is
        not, or an unfit filter; RunError where a file cannot be read.
        """
        self._place, self._url, self._name = folder.place, folder.url, folder.name
        self._files = tuple(files)
        self._shape = (image.height, image.width, image.channels)
        self._columns = tuple(dict.fromkeys((LABEL, *((SEED,) if seeds else ()), *columns)))
        self._shown, self._seeds = tuple(columns), seeds
        self._opened: Recent[pq.ParquetFile] = Recent(self._open, _OPEN_FILES)
        self._held: Recent[_Held] = Recent(self._read, cache_bytes)
        self._process, self._unlabelled = os.getpid(), unlabelled
        known = self._known()
        if unknown := [name for name in columns if name not in known or name == "image"]:
            shown = ", ".join(name for name in known if name != "image")
            raise JobError(f"columns: no column {', '.join(map(repr, unknown))} to load; there are {shown}")
        condition = None if filters is None else Condition(filters, known)

        def listed(number: int) -> list[_Group]:
            return self._listed(number, condition)

        found = in_parallel(listed, range(len(self._files)))
        self._groups = [group for groups in found for group in groups]
        self.groups = Groups(
            np.array([group.rows for group in self._groups], np.int64),
            np.array([group.bytes for group in self._groups], np.int64),
        )

    def __len__(self) -> int:
        return int(self.groups.starts[-1])

    @property
    def mixed(self) -> bool:
        """Whether rows of two classes may be among them, by the statistics of the files."""
        return any(group.mixed for group in self._groups)

    def take(self, rows: Indices) -> RowsOfKind:
        """The rows with these numbers, in their order.

        Raises RunError, which names the row, where one holds no readable image or no label.
        """
        if self._process != os.getpid():  # a fork: neither files nor connections can be shared with the parent
            self._opened.clear()
            self._process = os.getpid()
        groups = np.searchsorted(self.groups.starts, rows, side="right") - 1
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        parts = [places for places in np.split(order, cuts) if len(places)]
        held, within = [], []
        for places in parts:
            group = int(groups[places[0]])
            chosen = rows[places] - self.groups.starts[group]
            kept = self._groups[group].places
            held.append(self._held[group])
            within.append(chosen if kept is None else kept[chosen])
        pixels = self._pixels(rows, parts, held, within)
        columns = {name: self._column(name, len(rows), parts, held, within) for name in self._columns}
        labels = columns[LABEL]
        if len(labels) and labels.min() < 0 and not self._unlabelled:
            unlabelled = self._named(rows[int(labels.argmin())])
            raise RunError(f"{unlabelled} has no label; filter such rows, or their kind, out")
        seeds = columns[SEED] if self._seeds else np.zeros(len(rows), np.int64)
        return RowsOfKind(pixels, labels, seeds, {name: columns[name] for name in self._shown})

    def _pixels(self, rows: Indices, parts: list[Indices], held: list[_Held], within: list[Indices]) -> Pixels:
        length = stored_length(self._shape)
        if all(isinstance(one.images, np.ndarray) and one.images.shape[1] == length for one in held):
            found = self._stored(len(rows), length, parts, held, within)
            if found is not None:
                return found
        every: list[bytes | None] = [None] * len(rows)
        for places, one, chosen in zip(parts, held, within, strict=True):
            for place, at in zip(places.tolist(), chosen.tolist(), strict=True):
                image = one.images[at]
                every[place] = image.tobytes() if isinstance(image, np.ndarray) else image.as_py()
        pixels, readable = decode_pngs(every, self._shape)
        if not readable.all():
            broken = rows[int(np.argmin(readable))]
            raise RunError(f"{self._named(broken)} holds no readable image of {self._shape}; run hardset verify")
        return pixels

    def _stored(
        self, count: int, length: int, parts: list[Indices], held: list[_Held], within: list[Indices]
    ) -> Pixels | None:
        """Pixels of stored PNGs, some at a time; None where one is laid out in another way."""
        if count * length <= _AT_ONCE:  # all in one: small images lie in many row groups, a few rows in each
            files = np.empty((count, length), np.uint8)
            for places, one, chosen in zip(parts, held, within, strict=True):
                files[places] = one.images[chosen]
            return stored_pixels(files, self._shape)
        height, width, channels = self._shape
        # In memory as torch takes images: channels first.
        pixels = np.empty((count, channels, height, width), np.uint8).transpose(0, 2, 3, 1)
        step = max(1, _AT_ONCE // length)
        for places, one, chosen in zip(parts, held, within, strict=True):
            for at in range(0, len(places), step):
                found = stored_pixels(one.images[chosen[at : at + step]], self._shape)
                if found is None:
                    return None
                for place, image in zip(places[at : at + step].tolist(), found, strict=True):
                    pixels[place] = image  # one by one: numpy scatters into another layout four times slower
        return pixels

    def _column(self, name: str, count: int, parts: list[Indices], held: list[_Held], within: list[Indices]) -> Values:
        if not parts:
            return np.zeros(0, np.int64)
        found = np.empty(count, np.result_type(*{one.columns[name].dtype for one in held}))
        for places, one, chosen in zip(parts, held, within, strict=True):
            found[places] = one.columns[name][chosen]
        return found

    def _named(self, row: int) -> str:
        group = int(np.searchsorted(self.groups.starts, row, side="right")) - 1
        file = self._files[self._groups[group].file]
        return f"{file.path}: row {int(row - self.groups.starts[group])} of row group {self._groups[group].number}"

    def _known(self) -> list[str]:
        """Names of the columns: those of the row contract, and the user's own."""
        there = self._opened[0].schema_arrow.names if self._files else []
        return list(dict.fromkeys((*_TYPES, *there)))

    def _listed(self, number: int, condition: Condition | None) -> list[_Group]:
        file = self._opened_anew(number)
        found = []
        every = range(file.num_row_groups)
        for group in every if condition is None else condition.groups(self._source(number), len(every)):
            rows, places = file.metadata.row_group(group).num_rows, None
            if condition is not None:
                places = condition.places(self._table(number, file, group, condition.columns))
                if not len(places):
                    continue
                rows, places = len(places), None if len(places) == rows else places
            footer = file.metadata.row_group(group)
            found.append(_Group(number, group, rows, footer.total_byte_size, places, _is_mixed(footer)))
        return found

    def _source(self, number: int) -> Any:
        """The file as Arrow reads it: by the operating system where it can."""
        file = self._files[number]
        if "://" in self._place:
            return pa.PythonFile(StoredFile(Folder(self._url), file), mode="r")
        return pa.OSFile(f"{self._place}/{file.path}")

    def _opened_anew(self, number: int) -> pq.ParquetFile:
        path = self._files[number].path
        try:
            return pq.ParquetFile(
                self._source(number), page_checksum_verification=True, pre_buffer="://" in self._place
            )
        except FileNotFoundError:
            raise RunError(f"{self._name}: {path}: is missing; `hardset verify` names every fault") from None
        except (UserError, pa.ArrowException, OSError, ValueError) as error:
            raise RunError(f"{self._name}: {path}: {one_line(error, 200)}") from error

    def _open(self, number: int) -> tuple[pq.ParquetFile, int]:
        with _memory_of_the_system():
            return self._opened_anew(number), 1

    def _table(self, number: int, file: pq.ParquetFile, group: int, columns: Sequence[str]) -> pa.Table:
        """Columns of a row group; those that came with a later row contract are empty."""
        there = set(file.schema_arrow.names)
        try:
            table = file.read_row_group(
                group, columns=[name for name in columns if name.split(".")[0] in there], use_threads=False
            )
        except (UserError, pa.ArrowException, OSError, ValueError) as error:
            raise RunError(f"{self._name}: {self._files[number].path}: {one_line(error, 200)}") from error
        for name in columns:
            if name.split(".")[0] not in there:
                if name not in _TYPES:
                    raise RunError(f"{self._name}: {self._files[number].path}: has no column {name}")
                table = table.append_column(name, pa.nulls(file.metadata.row_group(group).num_rows, _TYPES[name]))
        return table

    def _read(self, number: int) -> tuple[_Held, int]:
        group = self._groups[number]
        table = self._table(group.file, self._opened[group.file], group.number, (_IMAGE, *self._columns))
        images = table["image"]
        images = images if images.num_chunks == 1 else images.combine_chunks()  # which copies
        images = images.chunk(0) if isinstance(images, pa.ChunkedArray) else images
        held = _Held(_files(images.field("bytes")), {name: values_of(table[name]) for name in self._columns})
        return held, group.bytes

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_process": -1}


@contextmanager
def _memory_of_the_system() -> Iterator[None]:
    """Lets the files opened inside take memory from the C library, which keeps what earlier row groups gave back.

    Arrow's own pool returns it to the system, and touching new pages may cost more than unpacking into them. A file
    takes the pool that is Arrow's default when it is opened, and no argument for another.
    """
    with _SWITCHING:
        before = pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
        try:
            yield
        finally:
            pa.set_memory_pool(before)


def _files(images: pa.BinaryArray) -> NDArray[np.uint8] | pa.BinaryArray:
    """Image files as one array (N, L), without a copy; as they are where some is empty or their lengths differ."""
    _, offsets, data = images.buffers()
    if images.null_count or not len(images):
        return images
    ends = np.frombuffer(offsets, np.int32)[images.offset : images.offset + len(images) + 1]
    lengths = np.diff(ends)
    if (lengths != lengths[0]).any() or not lengths[0]:
        return images
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].reshape(len(images), lengths[0])


def _is_mixed(group: pq.RowGroupMetaData) -> bool:
    for at in range(group.num_columns):
        column = group.column(at)
        if column.path_in_schema == SECOND_LABEL:
            known = column.is_stats_set and column.statistics.has_null_count
            return not known or column.statistics.null_count < group.num_rows
    return False
