"""`hardset diff`: two datasets side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hardset.jobs.terminal.console import AsJson, console, count, give, say
from hardset.pipeline.audit.replay import chosen_manifest
from hardset.pipeline.browse.compare import STATES, Difference, RecipeFigures, compare
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


def diff(
    out_a: Annotated[str, typer.Argument(metavar="OUT_A", help="A dataset folder.", show_default=False)],
    out_b: Annotated[str, typer.Argument(metavar="OUT_B", help="The one to hold against it.", show_default=False)],
    run_a: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="A finished run of OUT_A, as for --run elsewhere. Unset: the newest."),
    ] = None,
    run_b: Annotated[str | None, typer.Option(metavar="RUN_ID", help="The same of OUT_B.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Rows to name of each kind of change.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Compare a run in OUT_A to one in OUT_B, by default the newest: rows by id and pixels, success and accuracy.

    Reads columns of both, never images; writes nothing. Needs DuckDB (`pip install 'hardset[inspect]'`). Returns 0
    whether or not they differ, and says which.
    """
    folders = {"A": Folder(out_a), "B": Folder(out_b)}
    runs = {"A": chosen_manifest(folders["A"], run_a), "B": chosen_manifest(folders["B"], run_b)}
    found = compare((folders["A"], runs["A"]), (folders["B"], runs["B"]), examples=examples)
    for side, folder in folders.items():
        say(f"{side}: {folder.name}, run {runs[side].run_id[:8]}, {count(runs[side].totals.rows_out, 'row')}")
    if len({run.models.get("victim") for run in runs.values()} - {None}) == 2:
        say("The models under attack have other weights, so that row ids of attacks differ")
    _say_rows(found, runs)
    console.print(_table(found))
    sides = {side.lower(): {"run_id": run.run_id, "rows": run.totals.rows_out} for side, run in runs.items()}
    give({"status": "same" if found.same else "different", **sides, **asdict(found)}, as_json=as_json)


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
