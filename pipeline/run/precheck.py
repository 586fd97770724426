"""Check of source, models and recipes on a few rows before a run starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardset.pipeline.attacks.declared import declaration_of
from hardset.pipeline.attacks.foreign import ForeignRecipe
from hardset.pipeline.batches import Pixels
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.judging.judge import Classes
from hardset.pipeline.models.clean_accuracy import clean_accuracy
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.pipeline.run.admission import admitted
from hardset.pipeline.run.apart import ApartError, apart
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.base import narrowed
from hardset.pipeline.sources.sampling import sample
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.records.admission import Admission
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.run import Plan, Shard

SAMPLED_ROWS = 512
"""Number of source rows that the clean accuracy is measured on, whose interval is 9 points wide at most, and that
generators are held against."""
_LEAST_SECONDS, _SLOWER = 60.0, 40.0
"""Longest time that measuring it may take: so many seconds, and so many times what trying the models took."""
PREFLIGHT_ROWS = 16
"""Number of source rows that the model is tried on before anything runs."""


@dataclass(frozen=True)
class Checked:
    """What the check found that does not end the run."""

    warnings: tuple[str, ...] = ()
    """Warnings, one sentence each."""
    clean: CleanAccuracy | None = None
    """How often the model is right on a sample of the source; None without a model or rows."""
    admitted: tuple[Admission, ...] = ()
    """Figures of the generators that were measured."""


def check_before(job: Job, plan: Plan, folder: Folder | None = None, missing: Sequence[Shard] = ()) -> Checked:
    """Tries source, models and recipes on a few rows, so that a fault costs seconds and not a night.

    `folder`: of the dataset, in which pictures of refused generators are left; None: generators are not measured.
    `missing`: shards that are still to be made, whose generators are measured.
    """
    worker = Worker(job, plan, driver_device(job.run))
    warnings: tuple[str, ...] = ()
    clean = pixels = None
    fresh = [part for part in plan.ranges if not part.kept]
    judged = fresh if worker.model is not None else []
    sampled = sample(worker.source, judged, plan.image, len(plan.classes), SAMPLED_ROWS)
    started = time.monotonic()
    if worker.model is not None and fresh:
        pixels = _probe(worker)
        for model in (worker.model, *worker.held_out_models.values()):
            warnings += check_model(model, pixels, worker.device, stochastic=job.stochastic, batch=job.run.batch)
        if _asks_for_gradients(worker, pixels):
            warnings += check_gradient(worker.model, pixels, worker.device, batch=job.run.batch)
        clean, others = _clean_accuracy(worker, *sampled, _LEAST_SECONDS + _SLOWER * (time.monotonic() - started))
        warnings += others
    for position in range(len(job.recipes)):
        worker.recipe(position)
    if not plan.shards:
        raise JobError(f"source: {worker.source.name} has no rows")
    samples = sorted({shard.recipe for shard in missing})
    return Checked(warnings, clean, admitted(worker, folder, samples, *sampled) if folder is not None else ())


def _asks_for_gradients(worker: Worker, pixels: Pixels) -> bool:
    """Whether an attack of the job uses gradients: as it declares, or, of another library, as a trial shows.

    Raises JobError where such a trial fails, for want of a gradient or otherwise as `ForeignRecipe.try_out` does.
    """
    assert worker.model is not None
    declared = [declaration_of(attack.name) for attack in worker.job.attacks]
    asks = any(one.gradient and not one.foreign for one in declared)
    for position in range(len(worker.job.recipes)):
        recipe = worker.recipe(position)
        if not isinstance(recipe, ForeignRecipe):
            continue
        try:
            recipe.try_out(pixels)
        except RunError:
            if recipe.asked_for_gradients:
                check_gradient(worker.model, pixels, worker.device, batch=worker.job.run.batch)
            raise
        asks |= recipe.asked_for_gradients
    return asks


def check_gate(clean: CleanAccuracy | None, job: Job, least: float | None) -> None:
    """Raises RunError where the clean accuracy is below `least`, or was not measured though the job has a model.

    JobError where there is no model to hold it against.
    """
    if least is None:
        return
    if job.model is None:
        raise JobError("--min-clean-accuracy: the job names no model; add a model section, or leave the gate out")
    if clean is None:
        raise RunError(
            "--min-clean-accuracy: the clean accuracy of this run is not known, because no row of its source could be "
            "judged, or an earlier hardset made it"
        )
    if clean.share < least:
        why = "; ".join(clean.findings)
        raise RunError(
            f"--min-clean-accuracy: the model is right on {clean} of {clean.judged:,} clean rows; wants "
            f"{100 * least:g} %" + (f"; {why}" if why else "")
        )


def _clean_accuracy(
    worker: Worker, pixels: Pixels, labels: Classes, seconds: float
) -> tuple[CleanAccuracy | None, tuple[str, ...]]:
    """How often the model under attack is right on sampled rows, and what seems wrong with held-out models.

    Asked apart, since a row may end the process of the model, and for `seconds` at most.
    """
    if not len(labels):
        return None, ()
    try:
        return apart(lambda: _measured(worker, pixels, labels), seconds=seconds)
    except ApartError as error:
        return None, (
            f"model: the clean accuracy is not known, as the model {error} on one of {len(labels)} clean rows; the run "
            "finds such rows and names them in its quarantine",
        )


def _measured(worker: Worker, pixels: Pixels, labels: Classes) -> tuple[CleanAccuracy | None, tuple[str, ...]]:
    job = worker.job
    assert worker.model is not None
    assert worker.judge is not None
    assert job.model is not None
    clean = clean_accuracy(worker.model, tuple(job.model.networks().values()), worker.judge, pixels, labels)
    others: list[str] = []
    for network in job.transfer_to:
        held_out = worker.held_out_models[network.name]
        found = clean_accuracy(held_out, (network,), worker.held_out[network.name], pixels, labels)
        others += found.findings if found else ()
    return clean, tuple(others)


def _probe(worker: Worker) -> Pixels:
    """The first rows of the source that can be read, or blank ones."""
    plan = worker.plan
    present = [part for part in plan.ranges if not part.kept]
    first = next((part for part in present if not part.unreadable), present[0])
    few = narrowed(first, first.start, min(first.stop, first.start + PREFLIGHT_ROWS))
    rows, _ = worker.source.read(few, plan.image, len(plan.classes))
    shape = (2, plan.image.height, plan.image.width, plan.image.channels)
    return rows.pixels if len(rows) else np.zeros(shape, np.uint8)
