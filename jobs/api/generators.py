"""Training the generators that sample recipes draw from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from hardset.jobs.api.hearing import nothing
from hardset.pipeline.batches import CleanRows, joined, no_rows
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.gans.assessment import assess, distance_and_recall
from hardset.pipeline.gans.checkpoints import Checkpoint
from hardset.pipeline.gans.generator import Card, Generator
from hardset.pipeline.gans.selection import Measure
from hardset.pipeline.gans.training import Hooks, train_generator
from hardset.pipeline.models.loading import load_model
from hardset.pipeline.recipes.gan_checkpoints import remove_checkpoint, save_checkpoint, saved_checkpoint
from hardset.pipeline.recipes.generator_files import save_generator
from hardset.pipeline.reporting.generator_page import TrainingContent, training_page
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.sources.table import as_of_now, open_source
from hardset.pipeline.storage.folder import place_of, public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import GanTraining, Sample

FEWEST_ROWS = 50
"""Fewer rows than this on either side give no figures worth saying."""
PAGE = ".html"
"""After the name of the weights: the report of their training, rewritten with every checkpoint."""


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator that was trained and saved."""

    weights: str
    """Where it lies, without credentials."""
    sha256: str
    """SHA-256 of the file."""
    rows: int
    """Rows that it was trained on."""
    page: str
    """Where its report lies: samples by step, and curves."""
    steps: int
    """Steps of the training."""
    step: int
    """Step whose average was kept."""
    seconds: float
    """Of this start, without reading the rows."""
    measured: tuple[Measure, ...]
    """Figures of the averages on the selection rows, by step; none where nothing could measure them."""
    quality: dict[str, float] | None
    """Figures of its rows on others; None where there is no model to judge them or nothing to compare them with."""
    not_assessed: str | None = None
    """Why the model of the job could not judge them."""


@dataclass(frozen=True)
class Hears:
    """What is told while generators are trained, each with the weights first, and asked."""

    on_step: Callable[[str, int, int], None] = nothing
    """Is told the step and the number of steps."""
    on_measure: Callable[[str, Measure], None] = nothing
    on_return: Callable[[str, int, float], None] = nothing
    """Is told the step to which a training that diverged went back, and the factor of its rates from there on."""
    on_resume: Callable[[str, int], None] = nothing
    """Is told the step of the checkpoint that a training goes on from."""
    stop: Callable[[], bool] = lambda: False
    """Whether to stop, keeping a checkpoint."""


def train_generators(job: Job, hears: Hears = Hears()) -> tuple[TrainedGenerator, ...]:
    """Trains and saves the generator of each sample recipe, from the checkpoint beside its weights if there is one.

    Raises JobError where no recipe samples, where there is no row to train on, and where a checkpoint is of another
    training; RunError where a training diverges again and again; Stopped where `hears.stop` asks.
    """
    sampling = [r.generator for r in job.recipes if isinstance(r, Sample)]
    if not sampling:
        raise JobError("recipes: none has kind sample, so there is no generator to train")
    wanted = {one.weights: one.training for one in sampling if one.format == "hardset"}
    if not wanted:
        raise JobError(f"recipes: a generator of format {sampling[0].format} is trained where it comes from")
    job = job.model_copy(update={"source": as_of_now(job.source)})
    rows, classes = training_rows(job)
    judging = _judging(job, rows)
    return tuple(_trained(job, rows, classes, judging, one, settings, hears) for one, settings in wanted.items())


@dataclass(frozen=True)
class _Judging:
    """What generators are measured by: rows that are not trained on, and the model of the job."""

    module: nn.Module | None
    selection: CleanRows | None
    """Rows by which the best average is chosen; None where there are too few."""
    reported: CleanRows | None
    """Rows that the figures are of; None where there are too few, or nothing to judge by."""
    lacking: str | None = None
    """Why there is no model."""

    def measure(self, device: torch.device) -> Callable[[Generator], tuple[float, float]] | None:
        """Squared Fréchet distance and recall of a generator on the selection rows; None where nothing can tell."""
        if self.module is None or self.selection is None:
            return None
        return distance_and_recall(self.module, self.selection.pixels, device=device)

    def quality(self, generator: Generator, training: CleanRows, device: torch.device) -> dict[str, float] | None:
        """Figures of a generator on the reported rows; None where nothing can tell."""
        if self.module is None or self.reported is None:
            return None
        return assess(generator, self.module, held_out=self.reported.pixels, training=training.pixels, device=device)


def _judging(job: Job, training: CleanRows) -> _Judging:
    nobody = _Judging(None, None, None)
    if job.model is None or len(training) < FEWEST_ROWS:
        return nobody
    held_out, _ = _rows(job, lambda split: split != TRAINING_SPLIT)
    if len(held_out) < FEWEST_ROWS:
        return nobody
    try:
        model = load_model(job.model, channels=training.pixels.shape[3], device=driver_device(job.run))
    except JobError as error:
        return _Judging(None, None, None, str(error))
    if len(held_out) < 2 * FEWEST_ROWS:
        return _Judging(model.module, None, held_out)
    # Every other row of each class: sources may come sorted by class, or with the classes in turn.
    order = np.argsort(held_out.labels, kind="stable")
    return _Judging(model.module, held_out.take(np.sort(order[::2])), held_out.take(np.sort(order[1::2])))


def _trained(
    job: Job,
    rows: CleanRows,
    classes: int,
    judging: _Judging,
    weights: str,
    settings: GanTraining,
    hears: Hears,
) -> TrainedGenerator:
    started, name, device = time.monotonic(), public_name(weights), driver_device(job.run)
    resume = saved_checkpoint(weights)
    measured = resume.progress.measured if resume else ()
    if resume:
        hears.on_resume(name, resume.progress.step)

    def keep(checkpoint: Checkpoint) -> None:
        nonlocal measured
        measured = checkpoint.progress.measured
        save_checkpoint(checkpoint, weights)
        _save_page(checkpoint, weights)

    generator = train_generator(
        rows.pixels,
        rows.labels,
        classes=classes,
        settings=settings,
        seed=job.seed,
        device=device,
        resume=resume,
        hooks=Hooks(
            on_step=partial(hears.on_step, name),
            on_measure=partial(hears.on_measure, name),
            on_return=partial(hears.on_return, name),
            measure=judging.measure(device),
            keep=keep,
            stop=hears.stop,
        ),
    )
    digest = save_generator(generator, weights)
    remove_checkpoint(weights)
    seconds, card = time.monotonic() - started, generator.card
    assert isinstance(card, Card) and card.training.steps is not None and card.step is not None
    return TrainedGenerator(
        name,
        digest,
        len(rows),
        name + PAGE,
        card.training.steps,
        card.step,
        seconds,
        measured,
        judging.quality(generator, rows, device),
        judging.lacking,
    )


def _save_page(checkpoint: Checkpoint, weights: str) -> None:
    folder, name = place_of(weights)
    grids = {step: grid.numpy() for step, grid in checkpoint.shown.items()}
    content = TrainingContent(name, checkpoint.progress, grids, versions()["hardset"])
    folder.write(name + PAGE, training_page(content).encode())


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
