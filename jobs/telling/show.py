"""Rows of a dataset in a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from hardset.jobs.api.reports import clean_rows_of, why_no_clean_rows, write_file
from hardset.jobs.terminal.console import console, count, say
from hardset.pipeline.audit.trust import NO_TRUST, Trust
from hardset.pipeline.browse.query import FoundRows, examples, find, names
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.reporting.example_grid import rows_png
from hardset.pipeline.reporting.wording import class_name, eps_of_row, number, public_text
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import COLUMNS

USEFUL = (
    *("row_id", "op", "norm", "eps", "label", "clean_pred", "pred", "margin", "confidence", "success"),
    *("linf_levels", "flags"),
)
"""Columns of the table where none are asked for."""
PICTURED = 500
"""Most rows of a picture."""
_CLASSES = {column.name for column in COLUMNS if column.is_class}


def show_rows(
    out: str,
    *,
    where: str | None,
    limit: int,
    columns: str | None,
    png: str | None,
    run: str | None,
    trust: Trust = NO_TRUST,
) -> dict[str, Any]:
    """Shows rows of a run, and with `png` draws them; the answer for machines. Arguments as of `hardset show`."""
    if png is not None and limit > PICTURED:
        raise JobError(f"--limit: is {limit:,}; a picture (--png) holds {PICTURED} rows at most")
    folder = Folder(out)
    manifest = chosen_manifest(folder, run)
    chosen = _chosen(columns, names(manifest))
    fetched = list(dict.fromkeys(("row_id", "norm", *chosen)))
    found = find(folder, manifest, where=where, limit=limit, columns=fetched)
    if found.rows:
        console.print(_table(found, chosen if columns else _filled(found, chosen), manifest.classes))
    of_all = f"{count(found.matching, 'row')} of {manifest.totals.rows_out:,}"
    say(f"{of_all} in run {manifest.run_id[:8]}" + (" meet the condition" if where else "") + _shown(found))
    if png is not None:
        _picture(folder, manifest, found, png, where or "all rows", trust)
    rows = [{name: row[name] for name in chosen} for row in found.rows]
    told = {"run_id": manifest.run_id, "rows": rows, "matching": found.matching, "of": manifest.totals.rows_out}
    return told | {"picture": None if png is None or not rows else public_name(png)}


def _chosen(columns: str | None, known: Sequence[str]) -> tuple[str, ...]:
    if columns is None:
        return USEFUL
    if columns.strip() == "all":
        return tuple(known)
    asked = tuple(dict.fromkeys(name.strip() for name in columns.split(",")))
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise JobError(f"--columns: no column {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    return asked


def _filled(found: FoundRows, columns: Sequence[str]) -> list[str]:
    """Those of the columns that hold something in any of the rows."""
    return [name for name in columns if any(row[name] not in (None, "") for row in found.rows)]


def _table(found: FoundRows, columns: Sequence[str], classes: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == "row_id")
    for row in found.rows:
        table.add_row(*(Text(_value(row, name, classes)) for name in columns))
    return table


def _value(row: dict[str, Any], name: str, classes: tuple[str, ...]) -> str:
    value = row[name]
    if value is None:
        return "-"
    if name in _CLASSES:
        return public_text(class_name(classes, value))
    if name == "eps" and row["norm"]:
        return eps_of_row(value, row["norm"])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else public_text(str(value))


def _shown(found: FoundRows) -> str:
    return f", the first {len(found.rows):,} shown" if len(found.rows) < found.matching else ""


def _picture(folder: Folder, manifest: Manifest, found: FoundRows, png: str, note: str, trust: Trust) -> None:
    if not found.rows:
        say("No picture: there is no row to draw")
        return
    if why := why_no_clean_rows(folder, manifest, trust):
        say(f"Note: {why}")
    drawn = examples(folder, manifest, [row["row_id"] for row in found.rows], clean_rows_of(folder, trust))
    say(f"Picture: {write_file(png, rows_png(drawn, manifest.classes, note))}")
    if len(drawn) < len(found.rows):
        lost = len(found.rows) - len(drawn)
        say(f"Warning: {count(lost, 'image')} cannot be read; `hardset verify` names every fault")
