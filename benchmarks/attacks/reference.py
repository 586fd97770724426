"""PGD without slots or queue: number of gradients that each row needs when it runs alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.attacks.cases import Settings, Subject
from benchmarks.attacks.ours import Searcher, seeds_of
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.geometries import Linf


def gradients_alone(searcher: Searcher, subject: Subject, settings: Settings) -> NDArray[np.int64]:
    """Gradients (N,) until each row's 8-bit image is misclassified, including the pass that detects it.

    Uses the engine's start points; rows share forward passes and leave the batch once they have fallen.
    """
    device, geometry, count = searcher.engine.device, Linf(), len(subject)
    clean, labels = subject.images.to(device), subject.targets.to(device)
    eps = np.full(count, float(settings.eps))
    radius = torch.from_numpy(geometry.radius(eps)).to(device, torch.float32)
    budget = torch.from_numpy(geometry.budget(eps)).to(device)
    seeds = torch.from_numpy(seeds_of(count)).to(device)
    images = geometry.start(clean, radius, seeds, torch.zeros_like(seeds))
    spent, at_work = torch.zeros(count, dtype=torch.int64), torch.arange(count, device=device)
    for _ in range(settings.steps):
        for part in at_work.split(settings.batch):
            levels = (clean[part] * 255).round()
            point = geometry.to_grid(images[part], levels, budget[part]) / 255
            logits, gradient = _gradient(searcher, point, labels[part])
            spent[part.cpu()] += 1
            step = gradient.sign() * float(settings.step_size)
            images[part] = geometry.project(images[part] + step, clean[part], radius[part])
            fallen = (logits.argmax(1) != labels[part]) & (levels / 255 != point).flatten(1).any(1)
            at_work = at_work[~torch.isin(at_work, part[fallen])]
        if not len(at_work):
            break
    return spent.numpy()


def _gradient(searcher: Searcher, point: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    point = point.requires_grad_(True)
    logits = searcher.network.forward(point)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), point)
    return logits.detach(), gradient
