"""The attack on every batch of adversarial training: the job's settings, the engine's passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.attacks import drawing
from hardset.pipeline.attacks.ascent import ascend
from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.objectives import Goal, Objective
from hardset.pipeline.attacks.passes import Scores
from hardset.pipeline.attacks.search import SearchRows
from hardset.pipeline.compute import rng
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.models.modes import frozen
from hardset.pipeline.training.losses import divergence
from hardset.pipeline.training.methods import method_of
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.training import Train


@dataclass(frozen=True)
class InnerAttack:
    """An attack that takes a whole batch through all its steps."""

    spec: Attack
    """Resolved."""
    classes: int

    @property
    def steps(self) -> int:
        """Gradients per row."""
        return stages_of(self.spec, self.classes)[0].search.steps

    def images(
        self, module: nn.Module, ask: Scores, pixels: Tensor, labels: Tensor, seeds: Tensor, *, diverging: bool = False
    ) -> Tensor:
        """Adversarial images, float32 (N, C, H, W) on the 8-bit grid, of uint8 (N, C, H, W).

        `ask` runs `module`, which is held in eval mode meanwhile. `diverging`: away from the module's own answer on the
        clean row (trades) rather than from the label.
        """
        (stage,) = stages_of(self.spec, self.classes)
        search, geometry = stage.search, stage.search.geometry
        eps = drawing.budgets(self.spec.eps, seeds, 1)
        sizes = eps * stage.step_share
        if self.spec.step_size is not None:
            sizes = drawing.amounts(self.spec.step_size, seeds, rng.Draw.STEP_SIZE)
        rows = SearchRows(
            pixels=pixels,
            labels=labels,
            targets=labels[:, None],
            seeds=seeds,
            radius=geometry.radius(eps),
            budget=geometry.budget(eps),
            step_size=np.asarray(sizes, np.float64),
        )
        with frozen(module):
            if diverging:
                search = replace(search, objective=_away_from(ask, pixels))
            return ascend(search, ask, rows, torch.zeros_like(labels))


def _away_from(ask: Scores, pixels: Tensor) -> Objective:
    with torch.no_grad():
        reference = ask(unit_images(pixels))

    def objective(logits: Tensor, goal: Goal) -> Tensor:
        return divergence(reference, logits)

    return objective


def inner_attack(job: Job, settings: Train, classes: int) -> InnerAttack:
    """The attack that `settings` asks for, or that follows from the job's first attack recipe. Raises JobError."""
    spec, method = settings.attack, method_of(settings).declaration
    if spec is None:
        if not job.attacks:
            raise JobError("train.attack: missing, and there is no attack recipe to take norm and eps from")
        first = job.attacks[0]
        eps = max(first.eps) if isinstance(first.eps, tuple) else first.eps
        steps = first.steps if first.name == "pgd" and first.steps else 10
        spec = Attack(name=method.attack, norm=first.norm, eps=eps, steps=steps if method.attack == "pgd" else None)
    if method.step_share is not None and spec.name == method.attack and spec.step_size is None:
        step = spec.eps * method.step_share if isinstance(spec.eps, Fraction) else None
        spec = spec.model_copy(update={"step_size": step})
    if spec.random_start is None:
        spec = spec.model_copy(update={"random_start": method.random_start})
    return InnerAttack(spec.resolved(classes), classes)
