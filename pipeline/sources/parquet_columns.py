"""Columns of a Parquet file that a source needs: the image, and the label in a column or in the name of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from hardset.pipeline.batches import RowError
from hardset.pipeline.sources.labels import LabelError, Numbering
from hardset.pipeline.sources.unreadable import UnreadableFileError
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ColumnarSource

_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, *_BINARY)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_KNOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "image": ("image", ("img", "picture", "photo", "jpg", "jpeg", "png", "webp")),
    "label": ("label", ("fine_label", "labels", "class", "category", "target", "cls")),
}
"""For each setting its default, and the columns that are looked for where there is none of that name."""
_WHOLE = re.compile(r"-?\d{1,18}")


def named(spec: ColumnarSource, schema: pa.Schema, name: str) -> ColumnarSource:
    """The settings with the columns that a file has in place of the usual ones: of CIFAR-100 `img` and `fine_label`.

    A column that the job names otherwise than the default is taken at its word.
    """
    there = {*schema.names, *folder_values(name)}
    found = {
        key: next((one for one in others if one in there), usual)
        for key, (usual, others) in _KNOWN.items()
        if getattr(spec, key) == usual and usual not in there
    }
    return spec.model_copy(update=found) if found else spec


def guess_warnings(spec: ColumnarSource, taken: ColumnarSource) -> tuple[str, ...]:
    """A sentence for each column that was taken in place of the usual one."""
    return tuple(
        f"source.{key}: no column {getattr(spec, key)!r}, so {getattr(taken, key)!r} is taken; name it to be sure"
        for key in _KNOWN
        if getattr(spec, key) != getattr(taken, key)
    )


def check_columns(schema: pa.Schema, spec: ColumnarSource, name: str) -> tuple[bool, bool]:
    """Whether the label is in the name of a folder, and whether it is text.

    Raises JobError where the image or the label is missing, or of a type that cannot be one.
    """
    columns = ", ".join(schema.names)
    if spec.image not in schema.names:
        raise UnreadableFileError(f"source.image: no column {spec.image!r} in {name}; it has: {columns}")
    _check_image(schema.field(spec.image).type, spec, name, columns)
    if spec.label in schema.names:
        return False, _is_text(schema.field(spec.label).type, spec, name, columns)
    if spec.label not in folder_values(name):
        raise UnreadableFileError(f"source.label: no column {spec.label!r} in {name}; it has: {columns}")
    return True, isinstance(folder_values(name)[spec.label], str)


def folder_values(name: str) -> dict[str, int | str | None]:
    """Values in the names of a file's folders, as in `label=3/split=train/part-0.parquet`: whole numbers or text."""
    pairs = (folder.partition("=") for folder in name.split("/")[:-1])
    return {unquote(key): _folder_value(unquote(value)) for key, equals, value in pairs if key and equals}


def class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Names at info.features.<label>.names of the `huggingface` metadata; None where they are not."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def other_columns(schema: pa.Schema, spec: ColumnarSource, name: str) -> dict[str, pa.DataType]:
    """Stored types of the columns beside the image, and of those in the names of the file's folders."""
    types = {int: pa.int64(), str: pa.string(), type(None): pa.null()}
    folders = {key: types[type(value)] for key, value in folder_values(name).items()}
    found = folders | {field.name: field.type for field in schema}
    return {column: kind for column, kind in found.items() if column != spec.image}


def user_rows(part: pa.RecordBatch, names: Sequence[str], constant: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The user's values of each row: columns of a batch, and what all its rows have from the names of folders."""
    if not names:
        return [dict(constant)] * len(part)
    columns = [_microseconds(part[name]).to_pylist() for name in names]
    return [{**constant, **dict(zip(names, row, strict=True))} for row in zip(*columns, strict=True)]


def _microseconds(column: pa.Array) -> pa.Array:
    """Timestamps in units that Python knows; what is finer than microseconds is cut off."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


def renamed(label: Any, numbering: Numbering, names: Sequence[str]) -> str | RowError:
    """The name of a label among the file's own names, or why it has none."""
    try:
        number = numbering.number(label)
    except RowError as error:
        return error
    inside = 0 <= number < len(names)
    return names[number] if inside else LabelError(f"label {label} is not in 0 to {len(names) - 1}")


def _folder_value(text: str) -> int | str | None:
    if text == _NULL_FOLDER:
        return None
    return int(text) if _WHOLE.fullmatch(text) else text


def _check_image(image: pa.DataType, spec: ColumnarSource, name: str, columns: str) -> None:
    if pa.types.is_dictionary(image):
        image = image.value_type
    if pa.types.is_struct(image):
        inner = image.field("bytes").type if image.get_field_index("bytes") >= 0 else None
    else:
        inner = image
    if inner is None or not any(is_binary(inner) for is_binary in _BINARY):
        mend = "; of paths and URLs, write format: manifest" if pa.types.is_string(image) else ""
        raise UnreadableFileError(
            f"source.image: column {spec.image!r} in {name} is {image}; wants struct<bytes: binary, path: string>, "
            f"or binary{mend}; the columns are: {columns}"
        )


def _is_text(label: pa.DataType, spec: ColumnarSource, name: str, columns: str) -> bool:
    kind = label.value_type if pa.types.is_dictionary(label) else label
    if pa.types.is_fixed_size_list(kind) and kind.list_size == 1:
        kind = kind.value_type
    if any(is_text(kind) for is_text in _TEXTS):
        return True
    if any(is_number(kind) for is_number in _NUMBERS):
        return False
    found = f"source.label: column {spec.label!r} in {name}"
    if any(is_list(kind) for is_list in _LISTS):
        raise JobError(
            f"{found} holds several labels a row ({label}), and hardset makes rows of one class; name a column of one "
            f"label; the columns are: {columns}"
        )
    if pa.types.is_null(kind):
        raise JobError(f"{found} holds nulls alone; name a column of labels; the columns are: {columns}")
    raise JobError(f"{found} is {label}; wants whole numbers or names; the columns are: {columns}")
