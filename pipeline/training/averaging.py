"""Moving averages of weights, and adversarial perturbation of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_TINY = 1e-12


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """An average that follows `module` with every `update_parameters`; buffers are taken over as they are.

    The decay rises to `decay` as (1 + t) / (10 + t), so that the first steps do not hang about for the whole training.
    """

    def follow(average: Sequence[Tensor], now: Sequence[Tensor], updates: Tensor | int) -> None:
        done = float(updates)
        reached = min(decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(list(average), list(now), 1 - reached)

    return AveragedModel(module, multi_avg_fn=follow)


@contextmanager
def perturbed(module: nn.Module, gradients: Sequence[Tensor | None], size: float) -> Iterator[None]:
    """`module` with its weights moved along `gradients` by `size` times each weight's own norm, then put back.

    Wu et al., "Adversarial weight perturbation helps robust generalization" (NeurIPS 2020), (9). `gradients`: one per
    parameter, of the loss that is to rise; those of norms and biases (one axis) are left out, as in the paper's code.
    """
    moves = [
        (weight, gradient * (size * weight.norm() / (gradient.norm() + _TINY)))
        for weight, gradient in zip(module.parameters(), gradients, strict=True)
        if gradient is not None and weight.dim() > 1
    ]
    with torch.no_grad():
        before = [weight.clone() for weight, _ in moves]
        for weight, move in moves:
            weight.add_(move)
    try:
        yield
    finally:
        with torch.no_grad():
            for (weight, _), old in zip(moves, before, strict=True):
                weight.copy_(old)
