"""Measures clean and robust accuracy on rows that the model was not trained on, by fresh attacks on its weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.evaluation.measure import Settings, judged, measure
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.quantities import bounds
from hardset.schemas.job.recipes import Attack
from hardset.schemas.records.hardening import Figures, Score

STEPS = 20
"""Number of steps of the default measuring attack, for jobs that name none."""


def measuring_attacks(job: Job) -> tuple[Attack, ...]:
    """Attacks of `harden.attacks`; by default 20 steps of pgd with norm and eps of the first attack recipe.

    Raises JobError if there is neither.
    """
    if job.harden is not None and job.harden.attacks:
        return job.harden.attacks
    if not job.attacks:
        raise JobError("harden.attacks: missing, and there is no attack recipe to take norm and eps from")
    first = job.attacks[0]
    return (Attack(name="pgd", norm=first.norm, eps=bounds(first.eps)[1], steps=STEPS),)


def figures(module: nn.Module, rows: CleanRows, attacks: Sequence[Attack], job: Job, device: torch.device) -> Figures:
    """Figures of the rows under each attack in turn. `module`: images in [0, 1] to logits, on `device`."""
    assert job.model is not None
    settings = Settings(device=device, batch=job.run.batch, seed=job.seed)
    count, gradients = len(rows), 0
    clean = np.zeros(count, bool)
    robust, alone = np.ones(count, bool), dict[str, Score]()
    for attack in attacks:
        found = measure(module, rows.pixels, rows.labels, rows.keys, attack, settings, classes=job.model.classes)
        clean, held = found.right, found.robust[-1]
        robust &= held
        alone[_name(attack, alone)] = Score(rows=int(held.sum()), of=count)
        gradients += int(found.gradients.sum())
    return Figures(
        clean=Score(rows=int(clean.sum()), of=count),
        robust=Score(rows=int(robust.sum()), of=count),
        attacks=alone,
        gradients=gradients,
    )


def accuracy(module: nn.Module, pixels: np.ndarray, labels: np.ndarray, job: Job, device: torch.device) -> Score:
    """Accuracy of the model on unchanged rows."""
    found = judged(module, pixels, labels, Settings(device=device, batch=job.run.batch))
    return Score(rows=int((found.pred == labels).sum()), of=len(labels))


def _name(attack: Attack, taken: dict[str, Score]) -> str:
    """Name and norm of the attack; numbered if that is taken."""
    name = attack.op
    return name if name not in taken else f"{name}:{len(taken)}"
