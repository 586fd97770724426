"""The row contract as tables for the docs."""

from __future__ import annotations

from schemas.flags import FLAGS
from schemas.rows import COLUMNS, IMAGE, VERSIONS, columns_of


def column_table() -> str:
    """Markdown: one line per column. A, G and U stand for adversarial, generated and augmented rows."""
    lines = ["| column | type | filled for | meaning |", "|---|---|---|---|"]
    for column in COLUMNS:
        shown = "struct<bytes, path>" if column.type == IMAGE else str(column.type)
        kind = f"{shown}, class" if column.is_class else shown
        filled = "all" if column.required == "AGU" else " ".join(column.required) or "where it applies"
        later = "" if column.since == VERSIONS[0] else f" (since {column.since})"
        lines.append(f"| `{column.name}` | {kind} | {filled} | {column.meaning.replace('|', '/')}{later} |")
    return "\n".join(lines) + "\n"


def version_table() -> str:
    """Markdown: one line per version of the row contract."""
    lines = ["| version | columns | brought |", "|---|---|---|"]
    for version in VERSIONS:
        brought = ", ".join(f"`{column.name}`" for column in COLUMNS if column.since == version != VERSIONS[0])
        lines.append(f"| {version} | {len(columns_of(version))} | {brought + ' ' if brought else ''}|")
    return "\n".join(lines) + "\n"


def flag_table() -> str:
    """Markdown: one line per value that the `flags` column may list."""
    lines = ["| flag | meaning | remedy |", "|---|---|---|"]
    lines += [f"| `{name}` | {flag.meaning} | {flag.remedy} |" for name, flag in FLAGS.items()]
    return "\n".join(lines) + "\n"
