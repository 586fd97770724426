"""What a run would do."""

from __future__ import annotations

from rich.table import Table

from hardset.jobs.terminal.console import console, count, say
from hardset.schemas.records.results import Planned


def tell(planned: Planned, job: object) -> None:
    """Shows shards and rows of each recipe, and what of them is done. `job`: the name of the job file."""
    table = Table("recipe", "shards", "rows in", "rows out", "done", box=None, header_style="bold")
    for position, one in enumerate(planned.recipes):
        numbers = (one.shards, one.rows_in, one.rows_out, one.done)
        table.add_row(f"{position} {one.recipe}", *(f"{number:,}" for number in numbers))
    console.print(table)
    image = planned.image
    kind = "grey" if image.channels == 1 else "RGB"
    classes = count(planned.classes, "class", "classes")
    say(f"Run {planned.run_id}: {classes}, rows of {image.width} x {image.height} pixels, {kind}.")
    for warning in planned.warnings:
        say(f"Warning: {warning}")
    told = planned.changes
    if told is not None and any(told.counts.values()):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in told.counts.items() if number)
        say(f"Source files since run {told.since}: {kinds}.")
    total = count(planned.shards, "shard")
    if planned.done == planned.shards:
        say(f"All {total} are done; nothing is left to make.")
    else:
        say(f"{planned.done} of {total} are done; `hardset generate {job}` makes the rest.")
