"""Tables of images: the lines of a CSV, JSON Lines or Parquet file that name an image, its class, and more."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from hardset.pipeline.sources.labels import plain
from hardset.pipeline.sources.unreadable import UnreadableFileError, what_lies_there
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ManifestSource
from hardset.schemas.limits import GIB, Limits, variable

PATHS = ("path", "file_name", "filename", "file", "image", "image_path", "filepath", "url")
"""Columns that hold the paths of images in public data sets, in the order that they are looked for."""
LABELS = ("label", "class", "category", "target", "fine_label")
"""Columns that hold the classes, in the order that they are looked for."""


@dataclass(frozen=True)
class Entry:
    """A line: an image and what is known of it."""

    name: str
    """Path or URL as written, without credentials and query; tells the line from the others."""
    place: str
    """Path or URL as written."""
    label: Any
    values: Mapping[str, Any]
    """Values of the columns that the job keeps, as stored."""

    @property
    def text(self) -> list[Any]:
        """All that the line says of its row, for its digest."""
        return [self.name, str(self.label), [[name, str(value)] for name, value in self.values.items()]]


@dataclass(frozen=True)
class Listing:
    """The lines of one file."""

    entries: Mapping[str, Entry]
    """By name, in the order of the file."""
    types: Mapping[str, pa.DataType]
    """Types of the columns beside the path."""


def listing_of(data: bytes, name: str, spec: ManifestSource) -> Listing:
    """The lines of a file. Raises UnreadableFileError: no such table; JobError: an image that comes twice."""
    limits = Limits.from_environment()
    if len(data) > limits.row_group_gib * GIB:
        raise UnreadableFileError(f"source.path: {name} is larger than {variable('row_group_gib')} allows")
    try:
        table = _reader_of(name)(data)
    except (pa.ArrowException, ValueError, RecursionError, OSError) as error:
        told = what_lies_there(data[:256]) or f"cannot be read as a table: {' '.join(str(error).split())[:200]}"
        raise UnreadableFileError(f"source.path: {name} {told}") from error
    path, label = _column(table, spec.image, PATHS, "image", name), _column(table, spec.label, LABELS, "label", name)
    kept = [column for column in spec.keep if column in table.column_names]
    columns = [table[column].to_pylist() for column in (path, label, *kept)]
    entries: dict[str, Entry] = {}
    for number, (place, found, *values) in enumerate(zip(*columns, strict=True), 1):
        path_alone = (
            place.get("path") if isinstance(place, Mapping) else place
        )  # {bytes: null, path: ...} of `datasets`
        text = "" if path_alone is None else str(path_alone)
        key = public_name(text) or f"row {number} without a path"
        if key in entries:
            raise JobError(f"source.path: {name} lists {key} twice, again in row {number}; list each image once")
        entries[key] = Entry(key, text, plain(found), dict(zip(kept, values, strict=True)))
    return Listing(entries, {field.name: field.type for field in table.schema if field.name != path})


def _column(table: pa.Table, asked: str | None, known: Sequence[str], key: str, name: str) -> str:
    wanted = [asked] if asked is not None else known
    found = next((column for column in wanted if column in table.column_names), None)
    if found is None:
        there, what = ", ".join(table.column_names), repr(asked) if asked else f"is named {', '.join(known)}"
        raise UnreadableFileError(f"source.{key}: no column {what} in {name}; it has: {there}; name the one to take")
    return found


def _reader_of(name: str) -> Callable[[bytes], pa.Table]:
    return next(read for suffix, read in _READERS.items() if name.lower().endswith(suffix))


def _separated(separator: str) -> Callable[[bytes], pa.Table]:
    def read(data: bytes) -> pa.Table:
        parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
        texts = dict.fromkeys(PATHS, pa.string())
        return csv.read_csv(
            io.BytesIO(data), parse_options=parse, convert_options=csv.ConvertOptions(column_types=texts)
        )

    return read


def _json_lines(data: bytes) -> pa.Table:
    rows = [json.loads(line) for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds no line, or a line that is no JSON object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:  # of several types
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def _parquet(data: bytes) -> pa.Table:
    metadata = pq.read_metadata(io.BytesIO(data))
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if size > Limits.from_environment().row_group_gib * GIB:
        raise ValueError(f"unfolds to {size / GIB:,.1f} GiB, more than {variable('row_group_gib')} allows")
    return pq.read_table(io.BytesIO(data), use_threads=False)


_READERS: Mapping[str, Callable[[bytes], pa.Table]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
SUFFIXES = tuple(_READERS)
"""Suffixes of the files."""
