"""Tables of images: the lines of a CSV, JSON Lines or Parquet file that name an image, its class, and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hardset.pipeline.sources.labels import plain
from hardset.pipeline.sources.lines import GZIP, table_of
from hardset.pipeline.sources.unreadable import UnreadableFileError, what_lies_there
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.sources import ManifestSource
from hardset.schemas.limits import GIB, Limits, variable

PATHS = (
    *("path", "file_name", "filename", "file", "image", "image_path", "filepath", "url"),
    *("file_path", "img_path", "image_name", "image_file", "image_url", "img"),
)
"""Columns that hold the paths of images in public data sets, in the order that they are looked for, in any case."""
LABELS = (
    *("label", "class", "category", "target", "fine_label"),
    *("labels", "class_name", "label_name", "category_name", "class_id", "label_id", "category_id"),
)
"""Columns that hold the classes, in the order that they are looked for, in any case."""


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
        table = table_of(data, name, {*PATHS, str(spec.image).lower()}, spec.keep)
    except (pa.ArrowException, ValueError, RecursionError, OSError) as error:
        known = None if data.startswith(GZIP) and name.lower().endswith(".gz") else what_lies_there(data[:256])
        told = known or f"cannot be read as a table: {one_line(error, 200)}"
        raise UnreadableFileError(f"source.path: {name} {told}") from error
    path, label = _column(table, spec.image, PATHS, "image", name), _column(table, spec.label, LABELS, "label", name)
    kept = [column for column in spec.keep if column in table.column_names]
    places = _paths(table[path].to_pylist())
    columns = [table[column].to_pylist() for column in (label, *kept)]
    entries: dict[str, Entry] = {}
    seen: set[str] = set()
    for number, (text, found, *values) in enumerate(zip(places, *columns, strict=True), 1):
        key = public_name(text) or f"row {number} without a path"
        image = key.removeprefix("./")
        if image in seen:
            raise JobError(f"source.path: {name} lists {key} twice, again in row {number}; list each image once")
        seen.add(image)
        entries[key] = Entry(key, text, plain(found), dict(zip(kept, values, strict=True)))
    return Listing(entries, {field.name: field.type for field in table.schema if field.name != path})


def _paths(values: Sequence[Any]) -> list[str]:
    """Paths and URLs of a column as text; those that Windows wrote, each with backslashes alone, with slashes."""
    # {bytes: null, path: ...} of `datasets`
    plain_values = [value.get("path") if isinstance(value, Mapping) else value for value in values]
    texts = ["" if value is None else str(value) for value in plain_values]
    if texts and all("\\" in text and "/" not in text for text in texts):
        return [text.replace("\\", "/") for text in texts]
    return texts


def _column(table: pa.Table, asked: str | None, known: Sequence[str], key: str, name: str) -> str:
    wanted = [asked] if asked is not None else known
    anyhow = {} if asked else {column.lower(): column for column in reversed(table.column_names)}
    there: dict[str, str] = anyhow | {column: column for column in table.column_names}
    found = next((there[column] for column in wanted if column in there), None)
    if found is None:
        what = repr(asked) if asked else f"is named {', '.join(known)}"
        raise UnreadableFileError(
            f"source.{key}: no column {what} in {name}; it has: {', '.join(table.column_names)}; name the one to take"
        )
    return found
