"""`hardset train-gan`: trains the generator that a job's sample recipe draws from."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.status import Status

from hardset.jobs.terminal.console import AsJson, JobFile, Overrides, console, count, give, say
from hardset.pipeline.batches import CleanRows, joined, no_rows
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.gans.assessment import assess
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.training import train_generator
from hardset.pipeline.models.loading import load_model
from hardset.pipeline.recipes.generator_files import save_generator
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Sample
from hardset.schemas.reading.loading import load_job

FEWEST_ROWS = 50
"""Fewer rows than this on either side give no figures worth saying."""


def train_gan(job: JobFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train the generator of JOB's sample recipe on the train split of its source.

    Reads the source; writes the recipe's generator.weights (.safetensors, with a card inside). Says how good its
    rows are, judged by the job's model on rows of the other splits. Returns 0.
    """
    result = train(load_job(job, overrides or []))
    give(result, as_json=as_json)


def train(job: Job) -> dict[str, object]:
    """Trains and saves the generator of each sample recipe, and says where."""
    wanted = {r.generator.weights: r.generator.training for r in job.recipes if isinstance(r, Sample)}
    if not wanted:
        raise JobError("recipes: none has kind sample, so there is no generator to train")
    rows, classes = training_rows(job)
    saved, assessed = {}, {}
    for weights, settings in wanted.items():
        started = time.monotonic()
        with console.status(f"training {public_name(weights)}") as shown:

            def show(step: int, of: int = settings.steps, line: Status = shown) -> None:
                line.update(f"training the generator: step {step} of {of}")

            generator = train_generator(
                rows.pixels,
                rows.labels,
                classes=classes,
                settings=settings,
                seed=job.seed,
                device=driver_device(job.run),
                on_step=show,
            )
        digest = save_generator(generator, weights)
        seconds = time.monotonic() - started
        say(f"{public_name(weights)}: trained on {count(len(rows), 'row')} in {seconds:.0f} s ({settings.steps} steps)")
        saved[public_name(weights)] = digest
        assessed[public_name(weights)] = _assessed(job, generator, rows)
    return {"status": "complete", "generators": saved, "quality": assessed}


def _assessed(job: Job, generator: Generator, training: CleanRows) -> dict[str, float] | None:
    """Figures of generated rows; None where there is no model to judge them or nothing to compare them with."""
    device = driver_device(job.run)
    if job.model is None:
        return None
    held_out, _ = _rows(job, lambda split: split != TRAINING_SPLIT)
    if min(len(training), len(held_out)) < FEWEST_ROWS:
        return None
    try:
        model = load_model(job.model, channels=training.pixels.shape[3], device=device)
    except JobError as error:
        say(f"not assessed: {error}")
        return None
    figures = assess(generator, model.module, held_out=held_out.pixels, training=training.pixels, device=device)
    say("  " + ", ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    return figures


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
