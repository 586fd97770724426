"""Optimisers and learning rates from their settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from hardset.pipeline.extensions.imports import by_path
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.training import Train


def decayed_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weights of two or more axes decay, norms' scales and biases do not.

    He et al., "Bag of tricks" (CVPR 2019), section 3.1.
    """
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in wanted if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in wanted if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimiser(module: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """The optimiser of `module`. Raises JobError where an own one cannot be used."""
    groups = decayed_groups(module, settings.weight_decay)
    if not groups:
        raise JobError("model.factory: the model has no parameters that can be trained")
    if settings.optimiser == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, lr=settings.rate, momentum=settings.momentum, nesterov=nesterov)
    if settings.optimiser in ("adam", "adamw"):
        kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
        return kind(groups, lr=settings.rate)
    return _imported(settings, groups)


def _imported(settings: Train, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    path = settings.optimiser
    try:
        found = by_path(path)(list(groups), lr=settings.rate, weight_decay=settings.weight_decay)
    except (ImportError, AttributeError) as error:
        raise JobError(f"train.optimiser: {error}") from None
    except Exception as error:  # the user's code
        raise JobError(f"train.optimiser: {path} failed: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(found, torch.optim.Optimizer):
        raise JobError(f"train.optimiser: {path} returned a {type(found).__name__}; wants a torch.optim.Optimizer")
    return found


def rate_at(settings: Train, share: float) -> float:
    """The learning rate as a share of the highest, after `share` of all steps, both in [0, 1]."""
    return _RATES[settings.schedule](min(max(share, 0.0), 1.0), settings.warm_up)


def _cosine(share: float, warm_up: float) -> float:
    if share < warm_up:
        return max(share / warm_up, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (share - warm_up) / max(1 - warm_up, 1e-9)))


def _cyclic(share: float, warm_up: float) -> float:
    if share < warm_up:
        return max(share / warm_up, 0.01)
    return (1 - share) / max(1 - warm_up, 1e-9)


def _constant(share: float, warm_up: float) -> float:
    return max(share / warm_up, 0.01) if share < warm_up else 1.0


_RATES: dict[str, Callable[[float, float], float]] = {"cosine": _cosine, "cyclic": _cyclic, "constant": _constant}
