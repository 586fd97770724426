"""Admission of generators: measured before any shard is made, and refused with a picture of what they make."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.gans.admission import FEWEST, ROWS, failings, measured, picture, pilot
from hardset.pipeline.judging.judge import Classes
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import UNMEASURED, Admit, Sample
from hardset.schemas.records.admission import Admission

REFUSED = "_hardset/refused"
"""Folder, in that of the dataset, of the pictures of refused generators."""


def check_judged(job: Job) -> None:
    """Raises JobError where a generator is to be measured and the job has no model to do so."""
    for position, recipe in enumerate(job.recipes):
        if isinstance(recipe, Sample) and recipe.admit != UNMEASURED and job.model is None:
            raise JobError(
                f"recipes.{position}.admit: the job has no model that could judge generated rows; add a model section, "
                "or say `admit: unmeasured`, which the flags of every row will repeat"
            )


def admitted(
    worker: Worker, folder: Folder, positions: Sequence[int], real: Pixels, labels: Classes
) -> tuple[Admission, ...]:
    """Figures of the generators of the recipes at these positions, those that are unmeasured left out.

    `real`, `labels`: rows of the source, uint8 (N, H, W, C) and (N,), that samples are held against.

    Raises RunError for the first that misses its gates, once a picture of its rows is in `folder`, and where the
    source has too few rows to tell.
    """
    found = []
    for position in positions:
        recipe = worker.recipes[position]
        if isinstance(recipe, Sample) and isinstance(recipe.admit, Admit):
            one = _admitted(worker, folder, position, recipe.admit, real, labels)
            found += [one] if one is not None else []
    return tuple(found)


def _admitted(
    worker: Worker, folder: Folder, position: int, gates: Admit, real: Pixels, labels: Classes
) -> Admission | None:
    plan, at = worker.plan, f"recipes.{position}.admit"
    assert worker.model is not None
    made, asked = pilot(worker.recipe(position), len(plan.classes), worker.job.seed, worker.recipe_id(position))
    found = measured(
        worker.model.module,
        made.pixels,
        asked,
        real,
        labels,
        position=position,
        names=plan.classes,
        device=worker.device,
    )
    if not (gates.agreement or gates.coverage):
        return found
    if len(real) < FEWEST:
        raise RunError(
            f"{at}: the source has {len(real)} readable rows, and {FEWEST} are needed to measure a generator; set "
            "agreement and coverage to 0, or say `admit: unmeasured`"
        )
    short: tuple[str, ...] = ()
    if len(made) < FEWEST:
        short = (f"its filters leave {len(made)} of {ROWS} samples",)
    elif found is not None:
        short = failings(found, gates)
    if not short:
        return found
    shown = ""
    if len(made):
        name = f"{REFUSED}/{plan.run_id[:8]}-{position}.png"
        grid = picture(made.pixels, asked)
        folder.write(name, encode_png(np.ascontiguousarray(grid)[None], 6)[0])
        shown = f"; its samples are in {folder.name.rstrip('/')}/{name}"
    raise RunError(
        f"{at}: the generator is not admitted: {'; '.join(short)}"
        + (f"; {found}" if found is not None else "")
        + f"{shown}; train it longer, or change what {at} asks"
    )
