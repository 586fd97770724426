"""Small trainings that several tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from hardset.pipeline.compute.rng import integers
from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import RowsOfKind
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.training.inner import InnerAttack
from hardset.pipeline.training.learner import Learner
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.sources import DigitsSource
from hardset.schemas.job.training import Train

CPU = torch.device("cpu")


def digits(rows: int = 192) -> RowsOfKind:
    """The first rows of the bundled digits."""
    source = open_source(DigitsSource(limit=rows))
    clean, _ = source.read(source.plan(rows)[0], source.probe(), 10)
    seeds = integers(torch.arange(rows), 1, 2**31).numpy()
    return RowsOfKind(clean.pixels, clean.labels, seeds)


def plain_net(seed: int = 0) -> nn.Module:
    """Without batch normalisation or dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 10))


def normed_net() -> nn.Module:
    """With batch normalisation and without dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 16, 10),
    )


def learner(module: nn.Module, *, total_steps: int = 12, steps: int = 2, **settings: Any) -> Learner:
    """A learner with the attack that its method wants."""
    train = Train(**{"batch": 64, "rate": 0.01} | settings)
    spec = Attack(name="pgd", eps="0.1", steps=steps, random_start=True).resolved(10)
    attack = InnerAttack(spec, 10)
    return Learner(module, train, attack=attack, total_steps=total_steps, device=CPU)


def rows_of(part: RowsOfKind, batch: int = 64, seed: int = 3) -> TrainingRows:
    """Clean rows alone."""
    return TrainingRows({"clean": part}, batch, seed)


def weights_of(module: nn.Module) -> np.ndarray:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()]).numpy()
