"""Tables as people save them, from bytes to columns: separators, encodings, compression and JSON of every kind."""

from __future__ import annotations

import codecs
import csv as lines_of
import gzip
import io
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from hardset.schemas.limits import GIB, Limits, variable

GZIP = b"\x1f\x8b"
"""First bytes of a file that gzip made."""
_SEPARATORS = ",;\t|"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LEADING_ZERO = r"^[+-]?0\d"


def table_of(data: bytes, name: str, texts: Collection[str], kept: Collection[str]) -> pa.Table:
    """Columns of a table. `texts`: names in lower case of columns that hold text, whatever their values look like.

    `kept`: names of columns of which numbers that begin with a zero stay text, such as ids. Raises ValueError,
    pa.ArrowException or OSError where it cannot be read.
    """
    bare = name.lower()
    if bare.endswith(".gz"):
        bare, data = bare.removesuffix(".gz"), _unpacked(data)
    kind = next((suffix for suffix in _READERS if bare.endswith(suffix)), None)
    if kind is None:
        raise ValueError(f"its name ends in none of {', '.join(_READERS)}")
    return _READERS[kind](data, texts, kept)


def _unpacked(data: bytes) -> bytes:
    most = int(Limits.from_environment().row_group_gib * GIB)
    with gzip.open(io.BytesIO(data)) as stream:
        found: bytes = stream.read(most + 1)
    if len(found) > most:
        raise ValueError(f"unfolds to more than {variable('row_group_gib')} allows")
    return found


def _text(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with its mark, as spreadsheets save it. Raises ValueError for any other encoding."""
    if data.startswith(_UTF_16):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is no UTF-8; save the table as UTF-8") from None


def _separated(usual: str) -> Callable[[bytes, Collection[str], Collection[str]], pa.Table]:
    def read(data: bytes, texts: Collection[str], kept: Collection[str]) -> pa.Table:
        text = _text(data)
        head = re.split(r"[\r\n]", text[: 1 << 16], maxsplit=1)[0]
        separator = _separator(head, usual)
        names = next(lines_of.reader([head], delimiter=separator), [])
        content = text.encode()
        asked = {name: pa.string() for name in names if name.strip().lower() in texts}
        table = _parsed(content, separator, csv.ConvertOptions(column_types=asked))
        numbers = [
            field.name for field in table.schema if field.name.strip() in kept and pa.types.is_integer(field.type)
        ]
        if numbers:
            options = csv.ConvertOptions(include_columns=numbers, column_types=dict.fromkeys(numbers, pa.string()))
            table = _with_zeros(table, _parsed(content, separator, options))
        return _trimmed(table)

    return read


def _parsed(content: bytes, separator: str, options: csv.ConvertOptions) -> pa.Table:
    parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    return csv.read_csv(io.BytesIO(content), parse_options=parse, convert_options=options)


def _separator(head: str, usual: str) -> str:
    """The separator of a table by its first line: the usual one where it is there, else the most frequent."""
    bare = re.sub(r'"[^"]*"', "", head)
    most = max(_SEPARATORS, key=bare.count)
    return usual if usual in bare or most not in bare else most


def _with_zeros(table: pa.Table, written: pa.Table) -> pa.Table:
    """The table with columns as they are written where a value begins with a zero, which a number would lose."""
    for name in written.column_names:
        if pc.any(pc.match_substring_regex(written[name], _LEADING_ZERO)).as_py():
            table = table.set_column(table.schema.get_field_index(name), name, written[name])
    return table


def _trimmed(table: pa.Table) -> pa.Table:
    """The table without the spaces that follow its separators, as in `path, label`."""
    names = [name.strip() for name in table.column_names]
    if names == table.column_names:
        return table
    columns = [
        pc.utf8_trim_whitespace(column) if pa.types.is_string(column.type) else column for column in table.columns
    ]
    return pa.table(columns, names=names)


def _json(data: bytes, *_: Any) -> pa.Table:
    """Lines that are each an object, or one list of objects."""
    text = _text(data).strip()
    rows = json.loads(text) if text.startswith("[") else [json.loads(one) for one in text.split("\n") if one.strip()]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it holds no line, or a line that is no JSON object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:  # of several types
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def _parquet(data: bytes, *_: Any) -> pa.Table:
    metadata = pq.read_metadata(io.BytesIO(data))
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if size > Limits.from_environment().row_group_gib * GIB:
        raise ValueError(f"unfolds to {size / GIB:,.1f} GiB, more than {variable('row_group_gib')} allows")
    return pq.read_table(io.BytesIO(data), use_threads=False)


_READERS: Mapping[str, Callable[[bytes, Collection[str], Collection[str]], pa.Table]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".parquet": _parquet,
}
_OTHERS_ALIKE = (".json",)  # of a folder these are more often something else
SUFFIXES = tuple(ending for suffix in _READERS if suffix not in _OTHERS_ALIKE for ending in (suffix, f"{suffix}.gz"))
"""Suffixes of the files that are tables where a folder is named."""
