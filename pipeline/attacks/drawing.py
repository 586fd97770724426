"""Draws for every row before it is attacked: budgets, step sizes and targets, from the row's own key."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.compute import rng
from hardset.schemas.job.quantities import Amount, Range


def budgets(eps: Amount | tuple[Fraction, ...], keys: Tensor, variants: int) -> NDArray[np.float64]:
    """eps of every made row, float64 (M,), of keys (M,) in the order (parent, variant)."""
    if isinstance(eps, tuple):
        return np.tile(np.array([float(one) for one in eps]), len(keys) // variants)
    return amounts(eps, keys, rng.Draw.EPS)


def amounts(amount: Amount, keys: Tensor, draw: rng.Draw) -> NDArray[np.float64]:
    """One value per row, float64 (N,): the amount itself, or uniform in its range by the row's key."""
    if not isinstance(amount, Range):
        return np.full(len(keys), float(amount))
    share = rng.uniform(keys, draw, (), dtype=torch.float64).cpu().numpy()
    low, high = float(amount.min), float(amount.max)
    drawn: NDArray[np.float64] = low + (high - low) * share
    return drawn


def targets(kind: str | int, labels: Tensor, keys: Tensor, clean_logits: Tensor) -> Tensor:
    """The class that each row is to reach, int64 (N,), of labels (N,) and logits (N, K) of the clean images."""
    classes = clean_logits.shape[1]
    if isinstance(kind, int):
        return torch.full_like(labels, kind)
    if kind == "next":
        return (labels + 1) % classes
    if kind == "random":
        others = rng.integers(keys, rng.Draw.TARGET, classes - 1)
        return others + (others >= labels)
    return clean_logits.scatter(1, labels[:, None], torch.inf).argmin(dim=1)


def likely_classes(clean_logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The `count` wrong classes of largest logit, most likely first, int64 (N, count)."""
    return clean_logits.scatter(1, labels[:, None], -torch.inf).topk(count, dim=1).indices
