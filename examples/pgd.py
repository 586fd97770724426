"""Projected gradient descent as hardset's engine runs it, told in thirty lines: Linf, one start, all steps spent.

The engine adds what makes it fast and general (slots that are refilled, other norms, schedules and losses, targets,
restarts, verdicts of an inexact pass) and changes nothing here: the images are equal, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hardset.pipeline.compute import rng

Model = Callable[[Tensor], Tensor]


def pgd(
    model: Model, clean: Tensor, labels: Tensor, seeds: Tensor, *, eps: float, step_size: float, steps: int
) -> Tensor:
    """Adversarial images, uint8 (N, C, H, W), at most eps from `clean` in every value.

    `model`: float32 images in [0, 1] to logits (N, K). `labels`, `seeds`: int64 (N,). `eps`, `step_size`: on [0, 1].
    """
    levels, original = clean.float(), clean.float() / 255
    budget = int(eps * 255 + 1e-6)  # whole 8-bit levels: no stored image can use the rest
    low, high = original - budget / 255, original + budget / 255
    # Noise from each row's own seed, so that a row does not depend on its batch.
    noise = rng.uniform(seeds, rng.Draw.START_NOISE, tuple(clean.shape[1:]), torch.zeros_like(seeds)) * 2 - 1
    image = (original + noise * (budget / 255)).clamp(0, 1)
    best, best_rank = clean.clone(), torch.full_like(labels, -1)
    best_loss = torch.full(labels.shape, -torch.inf)
    for step in range(steps + 1):
        # The model is asked about what would be stored; its gradient there moves the float iterate.
        stored = (image * 255).round().maximum(levels - budget).minimum(levels + budget).clamp(0, 255)
        shown = (stored / 255).requires_grad_()
        logits = model(shown)
        loss = F.cross_entropy(logits, labels, reduction="none")
        moved = (stored != levels).flatten(1).any(dim=1)
        rank = moved.long() + (moved & (logits.argmax(dim=1) != labels)).long()
        # Kept is the fallen iterate of highest loss, or the one of highest loss if none has fallen.
        better = (rank > best_rank) | ((rank == best_rank) & (loss > best_loss))
        best[better], best_rank[better], best_loss[better] = stored.byte()[better], rank[better], loss.detach()[better]
        if step < steps:
            (gradient,) = torch.autograd.grad(loss.sum(), shown)
            image = (image + step_size * gradient.sign()).maximum(low).minimum(high).clamp(0, 1)
    return best
