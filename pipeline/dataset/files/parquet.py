"""Parquet files of rows: encoded in memory, the same bytes every time, and read back.

Settings and the readers that forced them: small row groups (viewers and random access), no statistics on image bytes
(min and max of every page swell the footer, reading is 4x slower) and digests, dictionaries only where values repeat,
digests and names without the four bytes of length that Parquet's plain encoding puts before each (5 bytes of a row),
page checksums (a plain read does not notice a flipped bit), and the Hugging Face features in the footer of every file.
No byte-stream split for floats: it saves one byte of a row, and Spark's vectorised reader refuses it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hardset.pipeline.batches import ColumnValues
from hardset.schemas.digests import canonical_json, content_sha256
from hardset.schemas.errors import RunError, one_line
from hardset.schemas.norms import NO_NORM
from hardset.schemas.rows.contract import (
    CONTRACT_VERSION,
    IMAGE,
    KINDS,
    OF_A_NORM,
    Column,
    arrow_schema,
    columns_of,
)

FOOTER_KEY = b"hardset"
ROW_GROUP_BYTES = 16 * 2**20
"""Image bytes of a row group before compression: about 5,000 rows at 32 px, 100 at 224 px.

From 1 to 32 MiB rows load about as fast (docs/benchmarks/loader.md), and each halving adds to the 130 bytes that
provenance may take of a row at 32 px.
"""

_MEASURED = (
    *("clean_margin", "float_margin", "margin", "confidence", "l1", "l2"),
    *("label_weight", "pseudo_confidence", "nearest_distance"),
)
"""Columns that repeat in some shards only, such as L1 norms, which are whole levels, at a fixed Linf budget."""
_REPEATING = 4
"""A measured column has a dictionary where each value stands that often on average."""
_LENGTHS_APART, _PREFIXES, _STEPS = "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "DELTA_BINARY_PACKED"
_ENCODINGS = {
    **dict.fromkeys(
        ("row_id", "image_sha256", "source_sha256", "parent_row_id", "partner_sha256", "image.path"), _LENGTHS_APART
    ),
    "source_key": _PREFIXES,
    "source_index": _STEPS,
}
"""Columns whose values hardly repeat, each with the encoding that it is smallest in."""
_PLAIN = {"image", "seed", "params", "success"}
"""Random bits, texts, and single bits: neither a dictionary nor an encoding saves anything."""
_UNCOUNTED = {
    *("image", "row_id", "image_sha256", "source_sha256", "parent_row_id", "partner_sha256"),
    *("seed", "params", "transfer_pred"),
}
"""Columns whose least and greatest values tell nothing of what lies between."""


def encode_rows(
    columns: Mapping[str, ColumnValues | Sequence[Any] | None],
    *,
    classes: Sequence[str],
    footer: Mapping[str, Any],
    user: Sequence[Column] = (),
) -> bytes:
    """A data file with exactly the row contract's schema, and the `user`'s columns after it.

    `columns` are named as in `schemas.rows.contract`; `image` holds `{"bytes": PNG, "path": name}`, and columns
    that are left out or None are null. `footer` is JSON that explains a lone file (run_id, shard key, recipes, models,
    verify ids): no clocks, no hosts; contract version, row count and content digest are added. Equal arguments give
    equal bytes.

    Raises RunError where rows are none, a column is unknown, of another length or type, lacks a value that its kind of
    row must fill, or holds a class that does not exist.
    """
    table = rows_table(columns, classes, user)
    described = {
        "contract": CONTRACT_VERSION,
        "rows": table.num_rows,
        "content_sha256": _content(table),
        **footer,
    }
    texts = {FOOTER_KEY: canonical_json(described).encode(), **table.schema.metadata}
    names = table.schema.names
    return _encode(
        table,
        texts,
        row_group_size=len(table["image"].chunk(0)),
        use_dictionary=[name for name in names if _has_dictionary(name, table)],
        column_encoding=_ENCODINGS,
        write_statistics=[name for name in names if name not in _UNCOUNTED],
    )


def _has_dictionary(name: str, table: pa.Table) -> bool:
    """Whether a column has a dictionary: chosen by what the rows hold, so the same for equal rows."""
    if name in _MEASURED:
        return bool(pc.count_distinct(table[name], mode="all").as_py() * _REPEATING <= table.num_rows)
    return name not in _ENCODINGS and name not in _PLAIN


def rows_table(
    columns: Mapping[str, ColumnValues | Sequence[Any] | None], classes: Sequence[str], user: Sequence[Column] = ()
) -> pa.Table:
    """The Arrow table of `encode_rows`, and its errors."""
    schema, every = arrow_schema(classes, user=user), columns_of(CONTRACT_VERSION, user)
    unknown = sorted(set(columns) - set(schema.names))
    if unknown:
        raise RunError(f"rows hold columns that the contract does not have: {', '.join(unknown)}")
    ids = columns.get("row_id")
    count = 0 if ids is None else len(ids)
    if not count:
        raise RunError("rows: none to encode; there are no empty data files")
    arrays = [_column(column, columns.get(column.name), count) for column in every]
    table = pa.Table.from_arrays(arrays, schema=schema)
    _check_filled(table)
    _check_classes(table, len(classes))
    return table


def check_file(
    data: bytes,
    *,
    classes: Sequence[str],
    rows: int | None = None,
    content: str | None = None,
    user: Sequence[Column] = (),
) -> pa.Table:
    """Re-opens a data file as a stranger would, checksums on, and returns its table.

    Raises RunError where it does not read, its schema or features are not the contract's, its rows are not `rows`, or
    its (row_id, image_sha256) pairs do not hash to what its footer says and to `content`.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        table = file.read()
        described = json.loads(file.metadata.metadata[FOOTER_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise RunError(f"data file does not read back: {one_line(error, 200)}") from error
    wanted = arrow_schema(classes, user=user)
    if not table.schema.equals(wanted) or table.schema.metadata[b"huggingface"] != wanted.metadata[b"huggingface"]:
        raise RunError("data file has another schema or other class names than the row contract")
    if rows is not None and table.num_rows != rows:
        raise RunError(f"data file holds {table.num_rows} rows, not {rows}")
    found = _content(table)
    if found != described.get("content_sha256") or content not in (None, found):
        raise RunError("data file holds other rows than its content digest says")
    return table


def read_footer(data: bytes) -> dict[str, Any]:
    """The `hardset` record in a data file's footer. Raises RunError where there is none."""
    try:
        record: dict[str, Any] = json.loads(pq.read_metadata(io.BytesIO(data)).metadata[FOOTER_KEY])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError("not a data file of hardset: its footer has no `hardset` record") from error
    return record


def row_count(data: bytes) -> int:
    """Rows of a Parquet file, from its footer."""
    return int(pq.read_metadata(io.BytesIO(data)).num_rows)


def _encode(
    table: pa.Table, texts: Mapping[bytes, bytes], *, row_group_size: int | None = None, **settings: Any
) -> bytes:
    """The features go in once, as key and value: a stored Arrow schema would repeat them in base64."""
    target = io.BytesIO()
    with pq.ParquetWriter(
        target,
        table.schema,
        compression="zstd",
        compression_level=1,
        write_page_index=True,
        write_page_checksum=True,
        store_schema=False,
        **settings,
    ) as writer:
        writer.write_table(table, row_group_size=row_group_size)
        writer.add_key_value_metadata(dict(texts))
    return target.getvalue()


def _column(column: Column, values: Any, count: int) -> pa.Array | pa.ChunkedArray:
    if values is None:
        return pa.nulls(count, column.type)
    if len(values) != count:
        raise RunError(f"rows: column {column.name} has {len(values)} values for {count} rows")
    try:
        return _images(values) if column.type == IMAGE else pa.array(values, type=column.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"rows: column {column.name} does not hold {column.type} values: {error}") from error


def _images(values: Sequence[Mapping[str, Any]]) -> pa.ChunkedArray:
    """In chunks of one row group each: an Arrow binary array ends at 2 GiB."""
    size = sum(len(value["bytes"]) for value in values)
    rows = max(1, ROW_GROUP_BYTES * len(values) // max(1, size))
    return pa.chunked_array([pa.array(values[i : i + rows], type=IMAGE) for i in range(0, len(values), rows)])


def _check_filled(table: pa.Table) -> None:
    kinds = table["kind"]
    others = sorted({str(k) for k in pc.unique(kinds).to_pylist()} - set(KINDS))
    if others:
        raise RunError(f"rows: kind holds {', '.join(others)}; wants {', '.join(KINDS)}")
    gaps = {c: pc.is_null(table[c.name]) for c in columns_of(CONTRACT_VERSION) if table[c.name].null_count}
    free = pc.fill_null(pc.equal(table["norm"], NO_NORM), False)
    gaps = {c: pc.and_not(gap, free) if c.name == OF_A_NORM else gap for c, gap in gaps.items()}
    for kind in KINDS:
        these = pc.equal(kinds, kind)
        lacking = [c.name for c, gap in gaps.items() if c.required_of(kind) and pc.any(pc.and_(these, gap)).as_py()]
        if lacking:
            raise RunError(f"rows: {kind} rows must fill {', '.join(lacking)}")


def _check_classes(table: pa.Table, classes: int) -> None:
    for column in columns_of(CONTRACT_VERSION):
        if column.is_class:
            bounds = pc.min_max(table[column.name]).as_py()
            if bounds["min"] is not None and not 0 <= bounds["min"] <= bounds["max"] < classes:
                raise RunError(
                    f"rows: {column.name} spans {bounds['min']} to {bounds['max']}; there are {classes} classes"
                )


def _content(table: pa.Table) -> str:
    return content_sha256(zip(table["row_id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True))
