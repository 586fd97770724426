"""`hardset train-gan`: trains the generator that a job's sample recipe draws from."""

from __future__ import annotations

import time

import numpy as np
from rich.status import Status

from jobs.console import AsJson, JobFile, Overrides, console, count, give, load_job, say
from pipeline.devices import driver_device
from pipeline.gans.training import train_generator
from pipeline.generators import save_generator
from pipeline.rows import CleanRows
from pipeline.sources import open_source
from pipeline.storage import public_name
from schemas.errors import JobError
from schemas.job import Job
from schemas.recipes import Sample

TRAINING_SPLIT = "train"


def train_gan(job: JobFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train the generator of JOB's sample recipe on the train split of its source.

    Reads the source; writes the recipe's generator.weights (.safetensors, with a card inside). Returns 0.
    """
    result = train(load_job(job, overrides or []))
    give(result, as_json=as_json)


def train(job: Job) -> dict[str, object]:
    """Trains and saves the generator of each sample recipe, and says where."""
    wanted = {r.generator.weights: r.generator.training for r in job.recipes if isinstance(r, Sample)}
    if not wanted:
        raise JobError("recipes: none has kind sample, so there is no generator to train")
    rows, classes = training_rows(job)
    saved = {}
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
                device=driver_device(job),
                on_step=show,
            )
        digest = save_generator(generator, weights)
        seconds = time.monotonic() - started
        say(f"{public_name(weights)}: trained on {count(len(rows), 'row')} in {seconds:.0f} s ({settings.steps} steps)")
        saved[public_name(weights)] = digest
    return {"status": "complete", "generators": saved}


def training_rows(job: Job) -> tuple[CleanRows, int]:
    """All readable rows of the source's train split, and the number of classes."""
    source = open_source(job.source)
    names = source.class_names()
    classes = job.model.classes if job.model else len(names or ())
    image = source.probe()
    parts = [
        source.read(part, image, classes)[0]
        for part in source.plan(job.output.shard_rows)
        if part.split == TRAINING_SPLIT
    ]
    if not any(len(part) for part in parts):
        raise JobError(f"source: {source.name} has no readable rows in its {TRAINING_SPLIT} split to train on")
    return (
        CleanRows(
            pixels=np.concatenate([part.pixels for part in parts if len(part)]),
            labels=np.concatenate([part.labels for part in parts if len(part)]),
            keys=tuple(key for part in parts for key in part.keys),
            indices=np.concatenate([part.indices for part in parts if len(part)]),
        ),
        classes,
    )
