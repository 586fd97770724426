"""`hardset.plan`: what a run would do. Makes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hardset.jobs.api.inputs import Document, Overrides, load_job
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.models.loading import load_model, load_network
from hardset.pipeline.planning.changes import change_warnings
from hardset.pipeline.planning.cost import most_of
from hardset.pipeline.recipes.table import variants
from hardset.pipeline.run.run_state import RunState, look
from hardset.pipeline.run.trial import Trial, trials
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipe_texts import name_and_norm
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.records.results import Estimate, Measured, Planned, PlannedRecipe
from hardset.schemas.records.run import Plan

MEASURE_SECONDS = 20.0
"""Seconds that the trial of a job's recipes takes, about; a batch of each recipe at least."""


def plan(
    job: Document | Job,
    *,
    overrides: Overrides = (),
    measure: bool = False,
    actors: int | None = None,
    price_per_hour: float | None = None,
) -> Planned:
    """The shards and rows of a job, and what of them is done: what `hardset plan --json` prints.

    Reads listings, row counts and weights, and builds the models; writes nothing. `measure`: also makes some rows of
    each recipe in this process for about 20 seconds, throws them away, and extrapolates the hours of `actors` actors
    (unset: those of the job), with `price_per_hour` of one actor their price. Raises JobError for what is wrong
    with the job, RunError for what storage cannot do.

    >>> import hardset
    >>> planned = hardset.plan({
    ...     "name": "flipped",
    ...     "source": {"format": "digits", "limit": 100},
    ...     "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}], "variants": 2}],
    ...     "output": {"path": "flipped"},
    ... })
    >>> planned.shards, planned.done, planned.recipes[0].rows_out
    (1, 0, 200)
    """
    if not measure and (actors is not None or price_per_hour is not None):
        raise JobError("--actors and --price need --measure: hours are extrapolated from a trial")
    declared = load_job(job, overrides)
    state = look(declared)
    found = state.plan
    _load_models(declared, found)
    tried = trials(declared, found, state.missing, MEASURE_SECONDS) if measure and state.missing else ()
    measured = {one.recipe: one for one in tried}
    recipes = tuple(_recipe(declared, state, at, measured.get(at)) for at in range(len(declared.recipes)))
    rows, image = sum(one.rows_out for one in recipes), found.image
    return Planned(
        run_id=found.run_id,
        shards=len(found.shards),
        done=sum(shard.key in state.done for shard in found.shards),
        recipes=recipes,
        logical_date=found.logical_date,
        changes=found.changes,
        warnings=(*change_warnings(declared.source, found.changes), *found.warnings, *job_warnings(declared)),
        classes=len(found.classes),
        image=image,
        rows=rows,
        pixel_bytes=rows * image.height * image.width * image.channels,
        estimate=_estimate(declared, state, measured, actors, price_per_hour) if tried else None,
    )


def _load_models(job: Job, found: Plan) -> None:
    """Builds all models of the job with their weights, so that what does not fit is told now. Raises JobError."""
    if job.model is None:
        return
    device, channels, names = torch.device("cpu"), found.image.channels, found.classes
    load_model(job.model, channels=channels, device=device, class_names=names)
    for position, network in enumerate(job.transfer_to):
        at, classes = f"transfer_to.{position}", job.model.classes
        load_network(network, at=at, classes=classes, channels=channels, device=device, class_names=names)


def _estimate(
    job: Job, state: RunState, measured: Mapping[int, Trial], actors: int | None, price_per_hour: float | None
) -> Estimate:
    """Hours and bytes of the missing shards, as many times those of the trials as there are rows."""
    seconds = size = 0.0
    for shard in state.missing:
        one = measured[shard.recipe]
        seconds += one.seconds * shard.rows / one.rows
        size += one.bytes * shard.rows / one.rows
    hours = seconds / 3600
    many = actors or job.run.most_actors
    return Estimate(
        device=driver_device(job.run).type,
        actors=many,
        hours=hours / many,
        bytes=round(size),
        price_per_hour=price_per_hour,
        price=None if price_per_hour is None else hours * price_per_hour,
    )


def _measured(trial: Trial) -> Measured:
    out = max(trial.rows_out, 1)
    return Measured(
        rows=trial.rows,
        seconds=trial.seconds,
        rows_per_s=trial.rows / trial.seconds,
        bytes_per_row=trial.bytes / out,
        gradients_per_row=trial.gradients / out,
    )


def _recipe(job: Job, state: RunState, position: int, trial: Trial | None) -> PlannedRecipe:
    recipe = job.recipes[position]
    shards = [shard for shard in state.plan.shards if shard.recipe == position]
    rows_in = sum(shard.rows for shard in shards)
    cost = most_of(recipe, job.model.classes if job.model else 0)
    return PlannedRecipe(
        recipe=" ".join(name_and_norm(recipe.model_dump())),
        shards=len(shards),
        rows_in=rows_in,
        rows_out=rows_in * variants(recipe),
        done=sum(shard.key in state.done for shard in shards),
        gradients=None if cost is None else cost.gradients * rows_in,
        queries=None if cost is None else cost.queries * rows_in,
        measured=None if trial is None else _measured(trial),
    )
