"""One round: makes rows against the latest weights, trains on them, measures the model and records the round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.hardening.home import Home
from hardset.pipeline.hardening.measuring import accuracy, figures, measuring_attacks
from hardset.pipeline.hardening.round_rows import training_rows
from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import whole
from hardset.pipeline.models.loading import LoadedModel, load_network
from hardset.pipeline.run.generation import RunOutcome
from hardset.pipeline.training.epochs import Course, Trained, train
from hardset.pipeline.training.inner import inner_attack
from hardset.pipeline.training.made_rows import attack_gradients
from hardset.pipeline.training.methods import method_of
from hardset.pipeline.training.ray_workers import TrainingWork, Workers, train_on_workers
from hardset.pipeline.training.split_rows import Splits
from hardset.schemas.errors import RunError
from hardset.schemas.job.hardening import Harden
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import is_attack
from hardset.schemas.job.training import Train
from hardset.schemas.job.training_methods import MethodDeclaration
from hardset.schemas.records.hardening import LoopStart, Round, Score, StoredWeights

Maker = Callable[[Job], RunOutcome]
"""Makes the dataset of a job."""


@dataclass(frozen=True)
class Loop:
    """State shared by all rounds of a loop."""

    job: Job
    settings: Harden
    train: Train
    splits: Splits
    home: Home
    device: torch.device
    make: Maker
    on_phase: Callable[[str], None] = lambda _: None
    """Is told what begins."""

    @property
    def method(self) -> MethodDeclaration:
        """How the model is trained."""
        return method_of(self.train).declaration

    def load(self, weights: StoredWeights) -> LoadedModel:
        """The model with the weights of a round. Raises JobError if they do not fit it."""
        model = self.model_with(weights)
        assert model.model is not None
        return load_network(
            model.model,
            at="model",
            classes=model.model.classes,
            channels=self.splits.image.channels,
            device=self.device,
        )

    def model_with(self, weights: StoredWeights) -> Job:
        """The job with these weights in its model."""
        assert self.job.model is not None
        model = self.job.model.with_weights(self.home.url(weights.path))
        return self.job.model_copy(update={"model": model})


def round_job(loop: Loop, weights: StoredWeights, number: int) -> Job:
    """Job of a round's generation: the job's recipes on the training rows, against the previous round's weights.

    Only attacks depend on the weights, so other recipes make rows only in the first round.
    """
    job = loop.model_with(weights)
    recipes = tuple(r for r in job.recipes if number == 1 or is_attack(r))
    return job.model_copy(update={"source": loop.splits.source, "recipes": recipes, "train": None, "harden": None})


def run_round(loop: Loop, start: LoopStart, rounds: Sequence[Round]) -> Round | None:
    """Runs the next round and records it; returns None if making rows was stopped.

    Raises RunError if shards failed or the training failed.
    """
    began, started, number = time.monotonic(), now(), len(rounds) + 1
    before = rounds[-1].weights if rounds else start.weights
    runs, rows_made, attacked = [one.run_id for one in rounds if one.run_id], 0, 0
    if loop.method.made_rows:
        loop.on_phase(f"round {number}: making rows")
        made = loop.make(round_job(loop, before, number))
        if made.manifest is None:
            return None
        if made.manifest.failures:
            raise RunError(f"round {number}: shard failed: {made.manifest.failures[0].error}; start it again")
        runs.append(made.plan.run_id)
        rows_made, attacked = made.manifest.totals.rows_out, attack_gradients(loop.home.folder, made.manifest)
    rows = training_rows(loop.job, loop.train, loop.splits, runs, number)
    loop.on_phase(f"round {number}: training")
    trained = _train(loop, start, rounds, rows)
    weights = loop.home.keep_weights(number, trained.weights)
    state = loop.home.keep_state(number, trained.state)
    loop.on_phase(f"round {number}: measuring")
    model = loop.load(weights)
    earlier = sum(one.training_gradients for one in rounds) if loop.method.on_the_fly else 0
    record = Round(
        loop_id=loop.home.loop_id,
        number=number,
        model_sha256=before.sha256,
        run_id=runs[-1] if loop.method.made_rows else None,
        rows={kind: len(part) for kind, part in rows.parts.items()},
        weights=weights,
        state=state,
        epochs=int(trained.state["epoch"]),
        loss=trained.last.loss if trained.last else 0.0,
        training_accuracy=trained.last.accuracy if trained.last else 0.0,
        validation=figures(model.module, loop.splits.validation, measuring_attacks(loop.job), loop.job, loop.device),
        shard=_on_shard(loop, model, rows),
        training_gradients=attacked + trained.gradients - earlier,
        rows_made=rows_made,
        seconds=time.monotonic() - began,
        started=started,
        finished=now(),
    )
    loop.home.keep(record)
    if rounds:
        loop.home.forget_state(rounds[-1].state)
    return record


def _train(loop: Loop, start: LoopStart, rounds: Sequence[Round], rows: TrainingRows) -> Trained:
    settings, job = loop.train, loop.job
    assert job.model is not None
    course = Course(
        settings=settings,
        attack=inner_attack(job, settings, job.model.classes) if loop.method.on_the_fly else None,
        seed=job.seed,
        epochs=settings.epochs * loop.settings.rounds,
        stop=settings.epochs * (len(rounds) + 1),
    )
    state = loop.home.state(rounds[-1].state) if rounds else None
    first = settings.epochs * len(rounds) if loop.method.made_rows else 0
    if not settings.workers:
        model = loop.load(start.weights)
        return train(model.module, rows, course, device=loop.device, state=state, first_epoch=first)
    network = job.model.with_weights(loop.home.place(start.weights.path))
    run, channels = job.run, loop.splits.image.channels
    work = TrainingWork(
        network, network.classes, channels, rows, course, state, first, run.gpus_per_actor > 0, run.cpus_per_actor
    )
    storage = loop.home.place(f"{loop.home.path}/workers-{len(rounds) + 1:03d}")
    return train_on_workers(work, Workers(settings.workers, run, storage))


def _on_shard(loop: Loop, model: LoadedModel, rows: TrainingRows) -> Score | None:
    newest = rows.parts.get("newest")
    if newest is None:
        return None
    made = whole(newest)
    return accuracy(model.module, made.pixels, made.labels, loop.job, loop.device)
