"""Row contract in SQL: column types, and a DuckDB view of a dataset's rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hardset.schemas.rows.contract import CONTRACT_VERSION, IMAGE, Column, columns_of
from hardset.schemas.rows.success import ATTACKED_SQL
from hardset.schemas.text import CONTROLS

_DUCKDB = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
}
_ICEBERG = {
    "string": "string",
    "bool": "boolean",
    "int32": "int",
    "int64": "long",
    "float": "float",
    "double": "double",
    "date32[day]": "date",
    "timestamp[us]": "timestamp",
}


def duckdb_type(column: Column) -> str:
    """DuckDB type of a column."""
    return "STRUCT(bytes BLOB, path VARCHAR)" if column.type == IMAGE else _DUCKDB[str(column.type)]


def iceberg_type(column: Column) -> str:
    """Iceberg type of a column."""
    return "struct<bytes: binary, path: string>" if column.type == IMAGE else _ICEBERG[str(column.type)]


def rows_view(
    paths: Sequence[str], class_names: Sequence[str], version: str = CONTRACT_VERSION, user: Sequence[Column] = ()
) -> str:
    """DuckDB SQL that creates the view `rows` over Parquet files and the macro `class_name(number)`.

    `paths`: files or globs, relative to DuckDB's search path; without any the view is empty. The view adds a column of
    class names beside each class column, and `attacked`, true for rows over which success is counted; each column has
    its meaning as a comment (`duckdb_columns()`).
    """
    columns = columns_of(version, user)
    names = ", ".join(map(_text, class_names))
    chosen = [_cast(column) for column in columns]
    chosen += [f'  class_name("{c.name}") AS "{c.name}_name"' for c in columns if c.is_class]
    chosen.append(f"  {ATTACKED_SQL} AS attacked")
    told = [f'COMMENT ON COLUMN rows."{column.name}" IS {_text(column.meaning)};' for column in columns]
    told.append("COMMENT ON COLUMN rows.attacked IS 'whether success is counted over the row';")
    files = f"read_parquet([{', '.join(map(_text, paths))}], union_by_name = true)"
    if not paths:  # DuckDB reads no empty list of files
        files = "(SELECT " + ", ".join(f'NULL AS "{column.name}"' for column in columns) + " WHERE false)"
    return "\n".join(
        [
            f"CREATE OR REPLACE MACRO class_name(number) AS ([{names}]::VARCHAR[])[number + 1];",
            "CREATE OR REPLACE VIEW rows AS",
            "SELECT",
            ",\n".join(chosen),
            f"FROM {files};",
            *told,
            "",
        ]
    )


def _cast(column: Column) -> str:
    return f'  "{column.name}"::{duckdb_type(column)} AS "{column.name}"'


def _text(value: str) -> str:
    """A string of SQL. Control characters, which a terminal that shows the file would obey, become calls of chr()."""
    parts = re.split(f"({CONTROLS.pattern})", value)
    pieces = [f"chr({ord(part)})" if CONTROLS.fullmatch(part) else _quoted(part) for part in parts if part]
    return " || ".join(pieces) or "''"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
