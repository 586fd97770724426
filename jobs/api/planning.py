"""`hardset.plan`: what a run would do. Makes nothing."""

from __future__ import annotations

import torch

from hardset.jobs.api.inputs import Document, Overrides, load_job
from hardset.pipeline.models.loading import load_model, load_network
from hardset.pipeline.planning.changes import change_warnings
from hardset.pipeline.recipes.table import variants
from hardset.pipeline.run.run_state import RunState, look
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipe_texts import name_and_norm
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.records.results import Planned, PlannedRecipe
from hardset.schemas.records.run import Plan


def plan(job: Document | Job, *, overrides: Overrides = ()) -> Planned:
    """The shards and rows of a job, and what of them is done: what `hardset plan --json` prints.

    Reads listings, row counts and weights, and builds the models; writes nothing. Raises JobError for what is wrong
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
    declared = load_job(job, overrides)
    state = look(declared)
    found = state.plan
    _load_models(declared, found)
    return Planned(
        run_id=found.run_id,
        shards=len(found.shards),
        done=sum(shard.key in state.done for shard in found.shards),
        recipes=tuple(_recipe(declared, state, position) for position in range(len(declared.recipes))),
        logical_date=found.logical_date,
        changes=found.changes,
        warnings=(*change_warnings(declared.source, found.changes), *found.warnings, *job_warnings(declared)),
        classes=len(found.classes),
        image=found.image,
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


def _recipe(job: Job, state: RunState, position: int) -> PlannedRecipe:
    recipe = job.recipes[position]
    shards = [shard for shard in state.plan.shards if shard.recipe == position]
    rows_in = sum(shard.rows for shard in shards)
    return PlannedRecipe(
        recipe=" ".join(name_and_norm(recipe.model_dump())),
        shards=len(shards),
        rows_in=rows_in,
        rows_out=rows_in * variants(recipe),
        done=sum(shard.key in state.done for shard in shards),
    )
