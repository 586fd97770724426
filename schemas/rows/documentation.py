"""Row contract as Markdown tables for the docs, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardset.schemas.rows.contract import (
    COLUMNS,
    CONTRACT_VERSION,
    IMAGE,
    KINDS,
    OPEN_VERSION,
    QUARANTINE_SCHEMA,
    VERSIONS,
    columns_of,
    huggingface_features,
)
from hardset.schemas.rows.flags import FLAGS
from hardset.schemas.rows.sql import duckdb_type, iceberg_type


def column_table() -> str:
    """Markdown table of the columns. A, G and U stand for adversarial, generated and augmented rows."""
    lines = ["| column | type | filled for | meaning |", "|---|---|---|---|"]
    for column in COLUMNS:
        shown = "struct<bytes, path>" if column.type == IMAGE else str(column.type)
        kind = f"{shown}, class" if column.is_class else shown
        filled = "all" if column.required == "AGU" else " ".join(column.required) or "where it applies"
        later = "" if column.since == VERSIONS[0] else f" (since {column.since})"
        lines.append(f"| `{column.name}` | {kind} | {filled} | {column.meaning.replace('|', '/')}{later} |")
    return "\n".join(lines) + "\n"


def rows_document(version: str = CONTRACT_VERSION) -> dict[str, Any]:
    """Row contract as JSON: every column with its types, its meaning and the kinds of row that must fill it."""
    features = huggingface_features([], version)
    return {
        "contract": version,
        "open": version == OPEN_VERSION,
        "columns": [
            {
                "name": column.name,
                "arrow": str(column.type),
                "huggingface": _feature(features[column.name]),
                "duckdb": duckdb_type(column),
                "iceberg": iceberg_type(column),
                "class": column.is_class,
                "required_of": [kind for kind in KINDS if column.required_of(kind)],
                "meaning": column.meaning,
                "since": column.since,
            }
            for column in columns_of(version)
        ],
        "quarantine": [{"name": field.name, "arrow": str(field.type)} for field in QUARANTINE_SCHEMA],
    }


def _feature(feature: Mapping[str, str]) -> str:
    return feature.get("dtype", feature["_type"])


def version_table() -> str:
    """Markdown table of the versions of the row contract; the version that may still change is called open."""
    lines = ["| version | columns | brought |", "|---|---|---|"]
    for version in VERSIONS:
        brought = ", ".join(f"`{column.name}`" for column in COLUMNS if column.since == version != VERSIONS[0])
        name = f"{version}, open" if version == OPEN_VERSION else version
        lines.append(f"| {name} | {len(columns_of(version))} | {brought + ' ' if brought else ''}|")
    return "\n".join(lines) + "\n"


def flag_table() -> str:
    """Markdown table of the flags."""
    lines = ["| flag | meaning | remedy |", "|---|---|---|"]
    lines += [f"| `{name}` | {flag.meaning} | {flag.remedy} |" for name, flag in FLAGS.items()]
    return "\n".join(lines) + "\n"
