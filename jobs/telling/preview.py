"""A few rows of a recipe, made without a run: in a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from hardset.jobs.api.inputs import load_job
from hardset.jobs.api.reports import write_file
from hardset.jobs.terminal.console import console, count, say
from hardset.pipeline.batches import Pixels
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.files.png import decode_pngs
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.reporting.example_grid import rows_png
from hardset.pipeline.reporting.examples import Example
from hardset.pipeline.reporting.wording import class_name, public_text
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.reading import part_of, read_rows
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Shard, SourceRange

_COLUMNS = ("source_key", "variant", "label", "label_2", "label_weight", "pred", "success", "params")


def preview_rows(path: str, *, recipe: int, rows: int, png: str | None) -> dict[str, Any]:
    """Makes the first `rows` source rows of a recipe of a job file, as a run would, and shows what comes out.

    Writes the picture alone. Raises JobError where there is no such recipe.
    """
    if not Path(path).is_file():
        raise JobError(f"{path}: no such file; --recipe previews a recipe of a job file")
    job = load_job(Path(path), ())
    if not 0 <= recipe < len(job.recipes):
        raise JobError(f"--recipe: got {recipe}; the job has recipes 0 to {len(job.recipes) - 1}")
    plan = make_plan(job)
    shard = next((one for one in plan.shards if one.recipe == recipe and not plan.is_kept(one)), None)
    if shard is None:
        raise JobError(f"--recipe: recipe {recipe} has no rows to make; the source has none")
    whole = None if shard.range is None else plan.ranges[shard.range]
    part, source_range = part_of(shard, whole, shard.start, min(shard.start + rows, shard.stop))
    worker = Worker(job, plan, driver_device(job.run))
    made = make_shard(part, source_range, worker)
    count_made = len(made.columns["source_key"])
    found = [{name: _plain(made.columns.get(name), row) for name in made.columns} for row in range(count_made)]
    shown = [name for name in _COLUMNS if any(row.get(name) is not None for row in found)]
    table = Table(*shown, box=None, header_style="bold")
    for row in found:
        table.add_row(*(Text(_told(row, name, plan.classes)) for name in shown))
    console.print(table)
    say(f"{count(count_made, 'row')} of recipe {recipe}; nothing was stored")
    if png is not None and found:
        clean = {} if source_range is None else _clean(worker, part, source_range)
        shape = (plan.image.height, plan.image.width, plan.image.channels)
        made_pixels, _ = decode_pngs([row["image"]["bytes"] for row in found], shape)
        drawn = [
            Example(row, pixels, clean.get(row["source_key"])) for row, pixels in zip(found, made_pixels, strict=True)
        ]
        say(f"Picture: {write_file(png, rows_png(drawn, plan.classes, f'recipe {recipe}'))}")
    return {
        "recipe": recipe,
        "rows": [{name: row[name] for name in shown} for row in found],
        "picture": None if png is None or not found else public_name(png),
    }


def _clean(worker: Worker, shard: Shard, part: SourceRange) -> dict[str, Pixels]:
    """Clean images by their keys."""
    rows = read_rows(worker.facts(shard, part), worker.source).clean
    return dict(zip(rows.keys, rows.pixels, strict=True))


def _plain(values: Any, row: int) -> Any:
    value = None if values is None else values[row]
    return value.item() if isinstance(value, np.generic) else value


def _told(row: dict[str, Any], name: str, classes: tuple[str, ...]) -> str:
    value = row[name]
    if value is None:
        return "-"
    if name in ("label", "label_2", "pred"):
        return public_text(class_name(classes, value))
    return f"{value:.3f}" if isinstance(value, float) else public_text(str(value))
