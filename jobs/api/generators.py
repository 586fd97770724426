"""Training the generators that sample recipes draw from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hardset.jobs.api.hearing import nothing
from hardset.pipeline.batches import CleanRows, joined, no_rows
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.gans.assessment import assess
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.training import train_generator
from hardset.pipeline.models.loading import load_model
from hardset.pipeline.recipes.generator_files import save_generator
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.sources.table import as_of_now, open_source
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import GanTraining, Sample

FEWEST_ROWS = 50
"""Fewer rows than this on either side give no figures worth saying."""


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator that was trained and saved."""

    weights: str
    """Where it lies, without credentials."""
    sha256: str
    """SHA-256 of the file."""
    rows: int
    """Rows that it was trained on."""
    steps: int
    seconds: float
    quality: dict[str, float] | None
    """Figures of its rows; None where there is no model to judge them or nothing to compare them with."""
    not_assessed: str | None = None
    """Why the model of the job could not judge them."""


def train_generators(job: Job, on_step: Callable[[str, int, int], None] = nothing) -> tuple[TrainedGenerator, ...]:
    """Trains and saves the generator of each sample recipe. `on_step`: is told the weights, the step and the steps.

    Raises JobError where no recipe samples or there is no row to train on.
    """
    sampling = [r.generator for r in job.recipes if isinstance(r, Sample)]
    if not sampling:
        raise JobError("recipes: none has kind sample, so there is no generator to train")
    wanted = {one.weights: one.training for one in sampling if one.format == "hardset"}
    if not wanted:
        raise JobError(f"recipes: a generator of format {sampling[0].format} is trained where it comes from")
    job = job.model_copy(update={"source": as_of_now(job.source)})
    rows, classes = training_rows(job)
    return tuple(_trained(job, rows, classes, weights, settings, on_step) for weights, settings in wanted.items())


def _trained(
    job: Job,
    rows: CleanRows,
    classes: int,
    weights: str,
    settings: GanTraining,
    on_step: Callable[[str, int, int], None],
) -> TrainedGenerator:
    started, name = time.monotonic(), public_name(weights)
    on_step(name, 0, settings.steps)
    generator = train_generator(
        rows.pixels,
        rows.labels,
        classes=classes,
        settings=settings,
        seed=job.seed,
        device=driver_device(job.run),
        on_step=lambda step: on_step(name, step, settings.steps),
    )
    digest = save_generator(generator, weights)
    seconds = time.monotonic() - started
    quality, reason = _assessed(job, generator, rows)
    return TrainedGenerator(name, digest, len(rows), settings.steps, seconds, quality, reason)


def _assessed(job: Job, generator: Generator, training: CleanRows) -> tuple[dict[str, float] | None, str | None]:
    """Figures of generated rows, or why a model could not give any."""
    device = driver_device(job.run)
    if job.model is None:
        return None, None
    held_out, _ = _rows(job, lambda split: split != TRAINING_SPLIT)
    if min(len(training), len(held_out)) < FEWEST_ROWS:
        return None, None
    try:
        model = load_model(job.model, channels=training.pixels.shape[3], device=device)
    except JobError as error:
        return None, str(error)
    return assess(generator, model.module, held_out=held_out.pixels, training=training.pixels, device=device), None


def training_rows(job: Job) -> tuple[CleanRows, int]:
    """All readable rows of the source's train split, and the number of classes."""
    rows, classes = _rows(job, lambda split: split == TRAINING_SPLIT)
    if not len(rows):
        name = open_source(job.source).name
        raise JobError(f"source: {name} has no readable rows in its {TRAINING_SPLIT} split to train on")
    return rows, classes


def _rows(job: Job, wanted: Callable[[str], bool]) -> tuple[CleanRows, int]:
    """All readable rows of the wanted splits, and the number of classes."""
    source = open_source(job.source)
    names = source.class_names()
    classes = job.model.classes if job.model else len(names or ())
    image = source.probe()
    parts = [source.read(part, image, classes)[0] for part in source.plan(job.output.shard_rows) if wanted(part.split)]
    filled = [part for part in parts if len(part)]
    return joined([no_rows(image.height, image.width, image.channels), *filled]), classes
