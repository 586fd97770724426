"""`hardset plan`: what a run would do. Makes nothing."""

from __future__ import annotations

from rich.table import Table

from hardset.jobs.terminal.console import AsJson, JobFile, Overrides, console, count, give, say
from hardset.jobs.terminal.dates import LogicalDate, TimeZone, dated
from hardset.jobs.verbs.generate import changes
from hardset.pipeline.planning.changes import change_warnings
from hardset.pipeline.recipes.table import variants
from hardset.pipeline.run.run_state import look
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.reading.loading import load_job


def plan(
    job: JobFile,
    date: LogicalDate = None,
    time_zone: TimeZone = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show the shards and rows of JOB, and what is already done.

    Reads listings, row counts and weights; writes nothing. Returns 0.
    """
    declared = load_job(job, dated(overrides, date, time_zone))
    state = look(declared)
    table = Table("recipe", "shards", "rows in", "rows out", "done", box=None, header_style="bold")
    recipes = []
    for position, recipe in enumerate(declared.recipes):
        shards = [shard for shard in state.plan.shards if shard.recipe == position]
        rows_in = sum(shard.rows for shard in shards)
        done = sum(shard.key in state.done for shard in shards)
        name = f"{recipe.name} {recipe.norm}" if isinstance(recipe, Attack) else recipe.kind
        rows_out = rows_in * variants(recipe)
        table.add_row(f"{position} {name}", *(f"{n:,}" for n in (len(shards), rows_in, rows_out, done)))
        recipes.append({"recipe": name, "shards": len(shards), "rows_in": rows_in, "rows_out": rows_out, "done": done})
    console.print(table)
    image, done = state.plan.image, sum(shard.key in state.done for shard in state.plan.shards)
    kind = "grey" if image.channels == 1 else "RGB"
    classes = count(len(state.plan.classes), "class", "classes")
    say(f"Run {state.plan.run_id}: {classes}, rows of {image.width} x {image.height} pixels, {kind}.")
    warnings = (*change_warnings(declared.source, state.plan.changes), *job_warnings(declared))
    for warning in warnings:
        say(f"Warning: {warning}")
    told = state.plan.changes
    if told is not None and any(told.counts.values()):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in told.counts.items() if number)
        say(f"Source files since run {told.since}: {kinds}.")
    total = count(len(state.plan.shards), "shard")
    if done == len(state.plan.shards):
        say(f"All {total} are done; nothing is left to make.")
    else:
        say(f"{done} of {total} are done; `hardset generate {job}` makes the rest.")
    give(
        {
            "run_id": state.plan.run_id,
            "shards": len(state.plan.shards),
            "done": done,
            "recipes": recipes,
            "logical_date": state.plan.logical_date,
            "changes": changes(state.plan),
            "warnings": list(warnings),
        },
        as_json=as_json,
    )
