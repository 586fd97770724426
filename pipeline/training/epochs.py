"""Training from a state to the next: epochs, one after the other, in one process or in each worker of a team.

Knows neither Ray nor storage: whoever calls it brings the rows and keeps the states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hardset.pipeline.judging.judge import deterministic, seeded
from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import whole
from hardset.pipeline.models.loading import undressed
from hardset.pipeline.training.inner import InnerAttack
from hardset.pipeline.training.learner import EpochTally, Learner, State
from hardset.pipeline.training.methods import method_of
from hardset.pipeline.training.team import Team
from hardset.schemas.errors import RunError
from hardset.schemas.job.training import Train

_CHANCE = 1.25
"""Times the share of the commonest class: up to there a model has learnt nothing."""


@dataclass(frozen=True)
class Course:
    """Length of a whole training, and the part of it to do now."""

    settings: Train
    attack: InnerAttack | None
    seed: int
    epochs: int
    """Number of epochs of the whole training, over which the learning rate is scheduled."""
    stop: int
    """Epoch at which this part ends, counted from the beginning of the whole training."""


@dataclass(frozen=True)
class Trained:
    """Result of a part of a training."""

    state: State
    weights: dict[str, torch.Tensor]
    """State dict of what is measured and kept."""
    last: EpochTally | None
    """The last epoch; None where all were done before."""
    gradients: int
    """Attack gradients of the whole training so far."""


def train(
    module: nn.Module,
    rows: TrainingRows,
    course: Course,
    *,
    device: torch.device,
    state: State | None = None,
    first_epoch: int = 0,
    on_epoch: Callable[[int, EpochTally, Learner], None] = lambda *_: None,
) -> Trained:
    """Trains `module` in place until `course.stop` epochs are done, going on from `state`.

    `first_epoch`: epochs that were done when these rows came; their batches are counted from there. `on_epoch` hears
    the number of each epoch (from 1), what it came to and the learner, whose `state` it may keep. The same arguments
    give the same weights on one kind of device and one number of threads, wherever a training was interrupted. Raises
    RunError where the loss diverges, or the model is still at chance when `give_up_after` epochs are done.
    """
    team = Team.here()
    learner = Learner(
        module,
        course.settings,
        attack=course.attack,
        total_steps=course.epochs * rows.steps,
        device=device,
        team=team,
    )
    if state is not None:
        learner.load(state["learner"])
    done = int(state["epoch"]) if state is not None else 0
    chance = _CHANCE * float(np.bincount(_labels(rows)).max()) / max(len(_labels(rows)), 1)
    tally: EpochTally | None = None
    while done < course.stop:
        # What dropout and the like draw belongs to the epoch, so that a later start draws the same.
        with deterministic(device), seeded(device, _epoch_seed(course.seed, done, team.rank)):
            tally = learner.train(rows, rows.steps, first=(done - first_epoch) * rows.steps)
        done += 1
        _check_learning(tally, done, chance, course)
        on_epoch(done, tally, learner)
    return Trained(state_of(learner, done), weights_of(learner.result), tally, learner.gradients)


def state_of(learner: Learner, epoch: int) -> State:
    """State after `epoch` epochs, from which a later start continues."""
    return {"learner": learner.state(), "epoch": epoch}


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of the network itself, on the CPU and each in memory of its own, for safetensors."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous(memory_format=torch.contiguous_format)
        for name, tensor in undressed(module).state_dict().items()
    }


def _labels(rows: TrainingRows) -> NDArray[np.int64]:
    return np.concatenate([whole(part).labels for part in rows.parts.values()])


def _check_learning(tally: EpochTally, done: int, chance: float, course: Course) -> None:
    settings = course.settings
    if done != settings.give_up_after or tally.accuracy > chance:
        return
    cause = "lower train.rate"
    if course.attack is not None:
        cause = (
            f"eps {course.attack.spec.eps} leaves it nothing to learn: lower train.attack.eps, or start from weights"
        )
    elif method_of(settings).declaration.made_rows:
        cause = "the rows leave it nothing to learn: lower eps in recipes, or start from weights"
    raise RunError(
        f"train: after {done} epochs the model has {100 * tally.accuracy:.0f} % of its training rows right, which is "
        f"chance; {cause}"
    )


def _epoch_seed(seed: int, epoch: int, rank: int) -> int:
    words = np.random.SeedSequence([seed, epoch, rank]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1
