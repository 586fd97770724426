"""Check of source, models and recipes on a few rows before a run starts."""

from __future__ import annotations

import numpy as np

from hardset.pipeline.attacks.declared import declaration_of
from hardset.pipeline.batches import Pixels
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.base import narrowed
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Plan

PREFLIGHT_ROWS = 16
"""Number of source rows that the model is tried on before anything runs."""


def check_before(job: Job, plan: Plan) -> tuple[str, ...]:
    """Tries source, models and recipes on a few rows, so that a fault costs seconds and not a night.

    Returns warnings, one sentence each.
    """
    worker = Worker(job, plan, driver_device(job.run))
    warnings: tuple[str, ...] = ()
    if worker.model is not None and any(not part.kept for part in plan.ranges):
        pixels = _probe(worker)
        for model in (worker.model, *worker.held_out_models.values()):
            check_model(model, pixels, worker.device, stochastic=job.stochastic)
        if any(declaration_of(attack.name).gradient for attack in job.attacks):
            warnings = check_gradient(worker.model, pixels, worker.device)
    for position in range(len(job.recipes)):
        worker.recipe(position)
    if not plan.shards:
        raise JobError(f"source: {worker.source.name} has no rows")
    return warnings


def _probe(worker: Worker) -> Pixels:
    """The first rows of the source that can be read, or blank ones."""
    plan = worker.plan
    present = [part for part in plan.ranges if not part.kept]
    first = next((part for part in present if not part.unreadable), present[0])
    few = narrowed(first, first.start, min(first.stop, first.start + PREFLIGHT_ROWS))
    rows, _ = worker.source.read(few, plan.image, len(plan.classes))
    shape = (2, plan.image.height, plan.image.width, plan.image.channels)
    return rows.pixels if len(rows) else np.zeros(shape, np.uint8)
