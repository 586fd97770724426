"""What a run would do."""

from __future__ import annotations

from rich.table import Table

from hardset.jobs.terminal.console import console, count, say
from hardset.schemas.records.results import Estimate, Planned, PlannedRecipe

_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def tell(planned: Planned, job: object, verb: str = "generate") -> None:
    """Shows shards, rows and cost of each recipe, and what of them is done.

    `job`: the name of the job file; `verb`: what runs it.
    """
    table = Table("recipe", "shards", "rows in", "rows out", "done", "gradients", box=None, header_style="bold")
    for position, one in enumerate(planned.recipes):
        numbers = (one.shards, one.rows_in, one.rows_out, one.done)
        table.add_row(f"{position} {one.recipe}", *(f"{number:,}" for number in numbers), _most(one))
    console.print(table)
    pixels = told_bytes(planned.pixel_bytes)
    gradients = "; gradients are those of rows that never fall" if any(r.gradients for r in planned.recipes) else ""
    say(f"{count(planned.rows, 'row')} at most, {pixels} of pixels before compression{gradients}.")
    for position, one in enumerate(planned.recipes):
        if one.measured is not None:
            found = one.measured
            spent = f", {found.gradients_per_row:,.1f} gradients a row" if found.gradients_per_row else ""
            say(
                f"Measured recipe {position} on {count(found.rows, 'row')} in {found.seconds:.1f} s: "
                f"{found.rows_per_s:,.1f} rows/s for one actor, {told_bytes(found.bytes_per_row)} a row{spent}."
            )
    if planned.estimate is not None:
        say(_extrapolated(planned.estimate))
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
        rest = "hardens in rounds, each with such a run" if verb == "harden" else "makes the rest"
        say(f"{planned.done} of {total} are done; `hardset {verb} {job}` {rest}.")


def _most(one: PlannedRecipe) -> str:
    if one.gradients is None:
        return "its own"
    return f"{one.gradients:,}" + (f" and {one.queries:,} queries" if one.queries else "")


def _extrapolated(estimate: Estimate) -> str:
    hours = f"{60 * estimate.hours:,.1f} minutes" if estimate.hours < 1 else f"{estimate.hours:,.1f} hours"
    text = f"Extrapolated to all that is left: about {hours} of {count(estimate.actors, 'actor')} like this machine's "
    text += f"{estimate.device}, {told_bytes(estimate.bytes)} of Parquet"
    if estimate.price is not None:
        text += f", {estimate.price:,.2f} at {estimate.price_per_hour:g} an actor's hour"
    return text + ". It assumes that actors share no cores and that storage and start-up cost nothing."


def told_bytes(size: float) -> str:
    """Such as `1.5 GiB`."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:,.0f} B"
