"""The moving parts of a training: model, optimiser, average, and one step of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hardset.pipeline.attacks.passes import Scores
from hardset.pipeline.augment.applying import apply
from hardset.pipeline.augment.parameters import draw
from hardset.pipeline.augment.table import settled
from hardset.pipeline.compute import rng
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.compute.transfers import sent
from hardset.pipeline.extensions.imports import by_path
from hardset.pipeline.loading.mixture import CLEAN, TrainingRows, take
from hardset.pipeline.training.averaging import moving_average, perturbed
from hardset.pipeline.training.inner import InnerAttack
from hardset.pipeline.training.methods import Batch, method_of, weighing
from hardset.pipeline.training.optimisers import make_optimiser, rate_at
from hardset.pipeline.training.team import Team
from hardset.schemas.errors import JobError, RunError, one_line
from hardset.schemas.job.training import Train

State = dict[str, Any]
"""Tensors, numbers and dicts of them, as torch.save writes and torch.load(weights_only=True) reads."""
_CHECK_EVERY = 50  # steps between looks at the loss; each look waits for the device


@dataclass(frozen=True)
class EpochTally:
    """Totals of some steps, over all workers."""

    rows: int
    loss: float
    """Mean loss over the rows."""
    correct: int
    """Number of rows that the model classified correctly as it was trained on them."""
    gradients: int
    """Number of attack gradients spent."""

    @property
    def accuracy(self) -> float:
        """Share of rows that were right."""
        return self.correct / max(self.rows, 1)


class Learner:
    """A model in training. Not to be shared between threads; every worker of a team holds one in the same state."""

    def __init__(
        self,
        module: nn.Module,
        settings: Train,
        *,
        attack: InnerAttack | None,
        total_steps: int,
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        """`module` is trained in place, on `device`. `total_steps` is what the rate is planned over."""
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.module = module.to(device=device).to(memory_format=layout)  # type: ignore[call-overload]
        self.module.requires_grad_(True)
        self.settings, self.device, self.team = settings, device, team or Team()
        self.total_steps, self.step, self.gradients = total_steps, 0, 0
        self._method, self._attack = method_of(settings), attack
        self._weighing = weighing(settings)
        self._optimiser = make_optimiser(self.module, settings)
        self._average: AveragedModel | None = moving_average(self.module, settings.ema) if settings.ema else None
        self._augment = _augmentation(settings)
        self._layout = layout
        self._ask = self._forward()

    @property
    def result(self) -> nn.Module:
        """Network that is measured and kept: the moving average if there is one, else the model itself."""
        found: nn.Module = self.module if self._average is None else self._average.module
        return found

    def train(self, rows: TrainingRows, steps: int, *, first: int = 0) -> EpochTally:
        """Takes `steps` steps, beginning with batch `first` of `rows`. Raises RunError where the loss is not finite."""
        self.module.train()
        sums, counts = torch.zeros(2, dtype=torch.float64, device=self.device), np.zeros(2)
        for number in range(first, first + steps):
            loss, right, seen, spent = self._one(rows, number)
            sums += torch.stack((loss.double(), right.double()))
            counts += seen, spent
            if self.step % _CHECK_EVERY == 0 or number == first + steps - 1:
                self._check(loss)
        sums = torch.cat((sums, sent(counts, self.device)))
        self.team.sum([sums])
        total, correct, seen_by_all, spent_by_all = sums.tolist()
        self.gradients += int(spent_by_all)
        return EpochTally(int(seen_by_all), total / max(seen_by_all, 1), int(correct), int(spent_by_all))

    def state(self) -> State:
        """Everything that a later start needs to go on from here as if there had been no break."""
        return {
            "module": self.module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "step": self.step,
            "gradients": self.gradients,
        }

    def load(self, state: State) -> None:
        """Goes on from a state of a learner with the same settings. Raises RunError where it does not fit."""
        try:
            self.module.load_state_dict(state["module"])
            self._optimiser.load_state_dict(state["optimiser"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            text = one_line(error)
            raise RunError(
                f"the state of the training does not fit the model ({text}); start the training anew"
            ) from None
        self.step, self.gradients = int(state["step"]), int(state["gradients"])

    # One step

    def _one(self, rows: TrainingRows, number: int) -> tuple[Tensor, Tensor, int, int]:
        """Sum of losses, rows that were right, rows, gradients; of this worker's share."""
        batch, spent = self._batch(rows, number)
        share = rate_at(self.settings, self.step / max(self.total_steps, 1))
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.rate * share
        self._optimiser.zero_grad(set_to_none=True)
        weights = list(self.module.parameters())
        if self.settings.awp:
            found = self._gradients(batch, rows.batch, weights)[0]
            with perturbed(self.module, found, self.settings.awp):
                found, loss, correct = self._gradients(batch, rows.batch, weights)
        else:
            found, loss, correct = self._gradients(batch, rows.batch, weights)
        for weight, gradient in zip(weights, found, strict=True):
            weight.grad = gradient
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, self.settings.clip)
        self._optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self.module)
        self.step += 1
        return loss, correct, len(batch.labels), spent

    def _gradients(
        self, batch: Batch, of: int, weights: list[nn.Parameter]
    ) -> tuple[list[Tensor | None], Tensor, Tensor]:
        """Gradients of the mean loss over all workers' rows, `of` in number; sum of losses and right rows of ours."""
        losses, logits = _checked(self._method.loss(self._ask, batch, self._weighing), batch, self.settings)
        total = losses.sum()
        found: list[Tensor | None] = list(torch.autograd.grad(total / of, weights, allow_unused=True))
        self.team.sum([gradient for gradient in found if gradient is not None])
        right = (logits.detach().argmax(dim=1) == batch.labels).sum()
        return found, total.detach(), right

    def _batch(self, rows: TrainingRows, number: int) -> tuple[Batch, int]:
        """This worker's share of a batch, attacked where the method says so, and the gradients that took."""
        pixels, labels, seeds, clean = self._share(rows, number)
        seeds = _seeds_of_step(seeds, number)
        images = unit_images(pixels)
        if self._augment is not None and len(clean):
            images = images.index_copy(0, clean, self._augment(images[clean], seeds[clean]))
        if not self._method.declaration.on_the_fly or self._attack is None:
            images = self._laid(images)
            return Batch(images, images, labels), 0
        levels = pixels if self._augment is None else images.mul(255).round_().to(torch.uint8)
        adversarial = self._attack.images(
            self.module, self._ask, levels, labels, seeds, diverging=self._method.declaration.away_from == "answer"
        )
        return Batch(self._laid(images), self._laid(adversarial), labels), self._attack.steps * len(labels)

    def _share(self, rows: TrainingRows, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """uint8 images (N, C, H, W), labels, seeds, and positions of clean rows; every team.size-th row of a batch."""
        found = take(rows, number, self.team.rank, self.team.size)
        clean = np.concatenate([np.full(count, kind == CLEAN) for kind, count in found.kinds])
        return (
            sent(found.rows.pixels, self.device).permute(0, 3, 1, 2).contiguous(),
            sent(found.rows.labels, self.device),
            sent(found.rows.seeds, self.device),
            sent(np.flatnonzero(clean), self.device),
        )

    def _laid(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=self._layout)

    def _forward(self) -> Scores:
        network: Callable[[Tensor], Tensor] = torch.compile(self.module) if self.settings.compile else self.module
        if self.settings.precision == "float32":
            return network

        def in_bfloat16(images: Tensor) -> Tensor:
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                return network(images)

        return in_bfloat16

    def _check(self, loss: Tensor) -> None:
        if not bool(loss.isfinite()):
            raise RunError(f"train: the loss is not finite at step {self.step}; lower train.rate, or set train.clip")


def _checked(given: tuple[Tensor, Tensor], batch: Batch, settings: Train) -> tuple[Tensor, Tensor]:
    """Result of a method's loss. Raises JobError unless it is one loss per row, and logits."""
    loss, logits = given
    if loss.shape != batch.labels.shape or len(logits) != len(batch.labels):
        shapes = f"{tuple(loss.shape)} and {tuple(logits.shape)}"
        rows = len(batch.labels)
        raise JobError(f"train.method: {settings.method} gives {shapes}; wants one loss per row, ({rows},), and logits")
    return loss, logits


def _seeds_of_step(seeds: Tensor, step: int) -> Tensor:
    """Seeds of rows at a step, int64 (N,) of 63 bits."""
    words = rng.words(seeds, rng.Draw.TRAINING, 2, step=step)
    return (words[:, 0] << 31) | (words[:, 1] >> 1)


def _augmentation(settings: Train) -> Callable[[Tensor, Tensor], Tensor] | None:
    """(images (N, C, H, W) in [0, 1], seeds (N,)) -> images; None where there is none. Raises JobError."""
    ops = settings.augment
    if not isinstance(ops, str):
        specs = tuple(settled(one, at=f"train.augment.{number}") for number, one in enumerate(ops))
        return (lambda images, seeds: apply(images, draw(specs, seeds), seeds)) if specs else None
    try:
        own: Callable[[Tensor, Tensor], Tensor] = by_path(ops)
    except (ImportError, AttributeError) as error:
        raise JobError(f"train.augment: {error}") from None

    def checked(images: Tensor, seeds: Tensor) -> Tensor:
        found = own(images, seeds)
        if not isinstance(found, Tensor) or found.shape != images.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise JobError(f"train.augment: {ops} returned {shape}; wants images of shape {tuple(images.shape)}")
        return found.clamp(0, 1)

    return checked
