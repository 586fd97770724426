"""Parquet files in the Hugging Face image layout, read by row group and only the columns needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.batches import RowError
from hardset.pipeline.sources import classes, ranges
from hardset.pipeline.sources.cleaning import NoImageError
from hardset.pipeline.sources.files import SourceFile, storage_faults
from hardset.pipeline.sources.images import ImageTooLargeError, UnreadableImageError
from hardset.pipeline.sources.labels import Numbering, are_text
from hardset.pipeline.sources.parquet_columns import (
    check_columns,
    class_names,
    folder_values,
    guess_warnings,
    named,
    other_columns,
    renamed,
    user_rows,
)
from hardset.pipeline.sources.parquet_file import OpenedParquet
from hardset.pipeline.sources.row_files import RowFiles, StoredRow
from hardset.pipeline.sources.splits import split_of_file
from hardset.pipeline.sources.unreadable import OUT_OF_REACH, UnreadableFileError
from hardset.pipeline.storage.folder import in_parallel
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ColumnarSource
from hardset.schemas.limits import GIB, MIB, Limits, variable

_ROWS_AT_ONCE = 64
_BUFFER = 4 << 20
_UNFOLDED_BYTES = 512 * MIB
"""Most bytes that the rows decoded together may unfold to, where a dictionary holds their values."""
_FOOTER_KEY, _ROW_ID, _SOURCE_SPLIT = b"hardset", "row_id", "source_split"  # in files that hardset made
_JUDGING = frozenset({"validation", "test"})  # what stems from these may not be trained on


@dataclass(frozen=True)
class _Footer:
    groups: tuple[int, ...]
    """Number of rows in each row group."""
    spec: ColumnarSource
    """Settings with the columns of this file."""
    names: tuple[str, ...] | None
    """Class names of the label column; None if the schema's metadata has none."""
    text: bool
    """Whether labels are names."""
    in_folder: bool
    """Whether the label is in the name of a folder."""
    columns: dict[str, pa.DataType]
    """Stored types of the other columns, and of those in the names of folders."""
    parents: frozenset[str]
    """Splits that the parents of rows that hardset made belong to; empty for other files."""


@dataclass(frozen=True)
class ParquetReader(RowFiles):
    """Reads a `struct<bytes, path>` (or binary) image column, and a label column or hive folders `label=3/`."""

    suffix = ".parquet"
    spec: ColumnarSource

    def own_names(self) -> tuple[str, ...] | None:
        """Class names out of the files' schema metadata. Raises JobError where two files disagree."""
        named = [(file.name, footer.names) for file, footer in self._selected_footers()]
        known = [(file, names) for file, names in named if names is not None]
        for file, names in known:
            if names != known[0][1]:
                raise JobError(f"source.path: {known[0][0]} and {file} name different classes; make two jobs")
        nameless = next((file for file, names in named if names is None), None)
        if known and nameless and self._are_renumbered(known[0][1]):
            raise JobError(
                f"source.classes: {known[0][0]} names its classes and {nameless} does not, so the order of "
                "source.classes cannot be carried over to its numbers; list the classes in the order of the files"
            )
        return known[0][1] if known else None

    def warnings(self) -> tuple[str, ...]:
        """Sentences about columns that are taken for want of the usual ones, and about classes."""
        taken = dict.fromkeys(
            text for _, one in self._selected_footers() for text in guess_warnings(self.spec, one.spec)
        )
        return (*taken, *super().warnings())

    def text_labels(self) -> bool:
        """Whether labels are names. Raises JobError where they are in one file and not in another."""
        kinds = (
            (file.name, footer.text)
            for file, footer in self._selected_footers()
            if not footer.in_folder or folder_values(file.name)[footer.spec.label] is not None
        )
        return are_text(kinds, f"source.label: {self.spec.label} is")

    def column_types(self) -> Iterator[tuple[str, dict[str, pa.DataType]]]:
        """Stored types of the columns of each file, and of its folders."""
        return ((file.name, footer.columns) for file, footer in self._selected_footers())

    def labels(self, file: SourceFile) -> Iterator[Any]:
        """Labels of a file, of which no other column is read."""
        if self._footer(file).in_folder:
            return repeat(folder_values(file.name)[self._footer(file).spec.label], sum(self._footer(file).groups))
        with OpenedParquet(self._place.fs, file.path, buffer=_BUFFER) as opened:
            label = self._footer(file).spec.label
            column = opened.parquet(file.name).read(columns=[label], use_threads=False)[label]
        return iter(column.to_pylist())

    def _selected_footers(self) -> list[tuple[SourceFile, _Footer]]:
        with storage_faults(self.name):
            footers = in_parallel(lambda pair: self._footer_or_none(pair[1]), self.files)
            if not any(footers):
                self._footer(self.files[0][1])  # says why
        return [(file, footer) for (_, file), footer in zip(self.files, footers, strict=True) if footer is not None]

    def _are_renumbered(self, names: tuple[str, ...]) -> bool:
        """Whether the job lists classes in another order than files whose labels are positions in `names`."""
        return classes.declared(self.spec) not in (None, names)

    @cached_property
    def _footers(self) -> dict[str, _Footer]:
        return {}

    def _footer_or_none(self, file: SourceFile) -> _Footer | None:
        """Footer of a file; None where it cannot be read."""
        try:
            return self._footer(file)
        except (UnreadableFileError, *OUT_OF_REACH):
            return None

    def _footer(self, file: SourceFile) -> _Footer:
        if file.name not in self._footers:
            with OpenedParquet(self._place.fs, self.looked_at(file).path, buffer=0) as opened:
                parquet = opened.parquet(file.name)
                schema = parquet.schema_arrow
                spec = named(self.spec, schema, file.name)
                in_folder, text = check_columns(schema, spec, file.name)
                _check_unfolded(parquet.metadata, spec, file.name)
                groups = tuple(parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups))
                names = class_names(schema, spec.label)
                self._footers[file.name] = _Footer(
                    groups,
                    spec,
                    names,
                    text,
                    in_folder,
                    other_columns(schema, spec, file.name),
                    _parent_splits(parquet),
                )
        return self._footers[file.name]

    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        """Pieces that end where row groups do. Raises JobError: columns are missing, or rows of another split."""
        footer, split = self._footer(file), split_of_file(file.name)
        if other := footer.parents & _JUDGING - {split}:
            raise JobError(
                f"source.path: {file.name} is in split {split}, but its rows were made from rows of split "
                f"{min(other)}; a row belongs where its parent does, so put the file back there, or leave it out"
            )
        return ranges.cut_groups(footer.groups, shard_rows)

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        """Rows of the image and label columns, only the row groups that they lie in."""
        with OpenedParquet(self._place.fs, self._place.path_of(name), buffer=_BUFFER) as opened:
            parquet = opened.parquet(name)
            labels_of = self._labelling(parquet.schema_arrow, name)
            begin = 0
            for group in range(parquet.num_row_groups):
                end = begin + parquet.metadata.row_group(group).num_rows
                first, last = max(begin, start), min(end, stop)
                if first < last:
                    yield from self._group_rows(opened, parquet, name, group, first - begin, last - begin, labels_of)
                begin = end

    def _labelling(self, schema: pa.Schema, name: str) -> Callable[[pa.RecordBatch], Sequence[Any]]:
        """Labels of a batch of rows: those of a file's column or folder, by name where the job reorders them."""
        label = named(self.spec, schema, name).label
        if label not in schema.names:
            value = folder_values(name)[label]
            return lambda batch: [value] * len(batch)
        names = class_names(schema, label)
        if names is None or not self._are_renumbered(names):
            return lambda batch: list(batch[label].to_pylist())
        own = Numbering({}, self.spec.label_offset)
        return lambda batch: [renamed(value, own, names) for value in batch[label].to_pylist()]

    def _group_rows(
        self,
        opened: OpenedParquet,
        parquet: pq.ParquetFile,
        name: str,
        group: int,
        start: int,
        stop: int,
        labels_of: Callable[[pa.RecordBatch], Sequence[Any]],
    ) -> Iterator[StoredRow]:
        """Rows `start` to `stop` of a row group. Stops decoding where the slice ends."""
        row = 0
        names, folders = parquet.schema_arrow.names, folder_values(name)
        spec = named(self.spec, parquet.schema_arrow, name)
        columns = [spec.image, *([spec.label] if spec.label in names else [])]
        kept = [column for column in self.spec.keep if column in names]
        columns += [column for column in kept if column not in columns]
        constant = {column: folders[column] for column in self.spec.keep if column in folders and column not in names}
        if made_here := _FOOTER_KEY in (parquet.metadata.metadata or {}):
            columns.append(_ROW_ID)
        try:
            most = Limits.from_environment().value_mib
            at_once = _rows_at_once(parquet.metadata.row_group(group), spec.image)
            for batch in parquet.iter_batches(at_once, row_groups=[group], columns=columns, use_threads=False):
                first, last = max(start, row), min(stop, row + len(batch))
                if first < last:
                    part = batch.slice(first - row, last - first)
                    labels, images = labels_of(part), part[spec.image].to_pylist()
                    ids = part[_ROW_ID].to_pylist() if made_here else [None] * len(part)
                    users = user_rows(part, kept, constant)
                    for label, image, row_id, user in zip(labels, images, ids, users, strict=True):
                        yield StoredRow(label, _image_bytes(image, most), row_id, user)
                row += len(batch)
                if row >= stop:
                    return
        except (pa.ArrowException, OSError) as error:
            if opened.fault is not None:
                raise opened.fault from None
            fault = UnreadableImageError(f"row group {group} is corrupt: {error}")
            yield from (StoredRow(0, fault) for _ in range(max(start, row), stop))


def _chunks(group: pq.RowGroupMetaData, column: str) -> Iterator[pq.ColumnChunkMetaData]:
    """Column chunks of a column and of its fields."""
    for number in range(group.num_columns):
        chunk = group.column(number)
        if chunk.path_in_schema.partition(".")[0] == column:
            yield chunk


def _check_unfolded(metadata: pq.FileMetaData, spec: ColumnarSource, name: str) -> None:
    """Raises UnreadableFileError where a row group unfolds beyond the limit, as its footer says.

    Kilobytes can hold gigabytes.
    """
    most = Limits.from_environment().row_group_gib
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size = sum(
            chunk.total_uncompressed_size
            for column in {spec.image, spec.label, *spec.keep}
            for chunk in _chunks(group, column)
        )
        if size > most * GIB:
            raise UnreadableFileError(
                f"source.path: {name}: row group {number} unfolds to {size / GIB:,.1f} GiB, more than "
                f"{variable('row_group_gib')} allows ({most:g}); write it in smaller row groups"
            )


def _rows_at_once(group: pq.RowGroupMetaData, column: str) -> int:
    """Rows that are decoded together: few where a dictionary may stand for many copies of a large value."""
    folded = [chunk.total_uncompressed_size for chunk in _chunks(group, column) if chunk.has_dictionary_page]
    return max(1, min(_ROWS_AT_ONCE, _UNFOLDED_BYTES // max(1, *folded))) if folded else _ROWS_AT_ONCE


def _parent_splits(parquet: pq.ParquetFile) -> frozenset[str]:
    """Splits in the footer's statistics; hardset writes them for this column, and a file holds one split."""
    if _FOOTER_KEY not in (parquet.metadata.metadata or {}):
        return frozenset()
    found = set[str]()
    for group in range(parquet.num_row_groups):
        columns = (parquet.metadata.row_group(group).column(number) for number in range(parquet.metadata.num_columns))
        for column in columns:
            if column.path_in_schema == _SOURCE_SPLIT and column.statistics and column.statistics.has_min_max:
                found |= {column.statistics.min, column.statistics.max}
    return frozenset(found)


def _image_bytes(image: Any, most: float) -> bytes | RowError:
    """Bytes of the encoded image, at most `most` MiB, or why there are none."""
    data = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(data, bytes):
        if len(data) > most * MIB:
            size = f"{len(data) / MIB:,.0f} MiB"
            return ImageTooLargeError(f"holds {size}, more than {variable('value_mib')} allows ({most:g})")
        return data
    path = image.get("path") if isinstance(image, dict) else None
    if path:
        return NoImageError(f"holds a path ({path}) and no bytes; embed the images, or use format: manifest")
    return NoImageError("image is null")
