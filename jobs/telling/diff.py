"""Two datasets side by side, for people."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.table import Table
from rich.text import Text

from hardset.jobs.terminal.console import console, count, say
from hardset.pipeline.browse.compare import STATES, Difference, RecipeFigures
from hardset.pipeline.reporting.wording import class_name, percent, public_text
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest

_SAID = {
    "added": "in B only",
    "gone": "in A only",
    "changed": "with other pixels",
    "judged": "with the same pixels but another label, prediction or success",
    "same": "the same",
}


def tell(found: Difference, folders: dict[str, Folder], runs: dict[str, Manifest]) -> None:
    """Says which runs were compared and how they differ. `folders`, `runs`: by side, A and B."""
    for side, folder in folders.items():
        say(f"{side}: {folder.name}, run {runs[side].run_id[:8]}, {count(runs[side].totals.rows_out, 'row')}")
    if len({run.models.get("victim") for run in runs.values()} - {None}) == 2:
        say("The models under attack have other weights, so that row ids of attacks differ")
    _say_rows(found, runs)
    console.print(_table(found))


def _say_rows(found: Difference, runs: dict[str, Manifest]) -> None:
    say("They hold the same rows" if found.same else "They differ:")
    for state in STATES:
        if found.rows[state]:
            say(f"  {count(found.rows[state], 'row')} {_SAID[state]}")
        classes = runs["A" if state == "gone" else "B"].classes
        for row in found.examples.get(state, ()):
            say(f"    {row['row_id']} {row['op']}, label {public_text(class_name(classes, row['label']))}")


def _table(found: Difference) -> Table:
    table = Table("recipe", box=None, header_style="bold")
    for figure in ("rows", "success", "clean accuracy", "accuracy"):
        for side in "AB":
            table.add_column(f"{figure} {side}", justify="right")
    times = Counter(line.recipe for line in found.recipes)
    for line in found.recipes:
        name = f"{line.recipe}: {line.details}" if times[line.recipe] > 1 and line.details else line.recipe
        cells = [cell for pair in zip(_cells(line.a), _cells(line.b), strict=True) for cell in pair]
        table.add_row(Text(name), *cells)
    return table


def _cells(figures: RecipeFigures | None) -> list[str]:
    if figures is None:
        return ["-"] * 4
    shares: list[Any] = [figures.success, figures.clean_accuracy, figures.accuracy]
    return [f"{figures.rows:,}", *("-" if share is None else percent(share) for share in shares)]
