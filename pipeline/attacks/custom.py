"""A user's own objective, by import path."""

from __future__ import annotations

import torch
from torch import Tensor

from hardset.pipeline.attacks.objectives import Goal, Objective
from hardset.pipeline.extensions.imports import by_path, one_line
from hardset.schemas.errors import JobError


def imported_objective(path: str, classes: int) -> Objective:
    """The objective at `package.module:function`, which takes (logits (N, K), labels (N,), targets (N,)).

    Raises JobError where it cannot be imported, fails, or does not give one differentiable loss per row.
    """
    try:
        function = by_path(path)
    except (ImportError, AttributeError) as error:
        raise JobError(f"objective: {path} cannot be imported: {error}") from error
    if not callable(function):
        raise JobError(f"objective: {path} is a {type(function).__name__}; wants a function of logits, labels, targets")

    def objective(logits: Tensor, goal: Goal) -> Tensor:
        loss: Tensor = function(logits.float(), goal.labels, goal.targets)
        return loss.float()

    _try(objective, path, classes)
    return objective


def _try(objective: Objective, path: str, classes: int) -> None:
    rows = 3
    logits = torch.linspace(-1, 1, rows * classes).view(rows, classes).requires_grad_(True)
    labels = torch.arange(rows) % classes
    goal = Goal(labels, (labels + 1) % classes, torch.zeros(rows, dtype=torch.int64), torch.zeros(rows))
    try:
        with torch.enable_grad():
            loss = objective(logits, goal)
    except Exception as error:  # it is the user's code
        raise JobError(
            f"objective: {path} fails on logits of shape ({rows}, {classes}): {type(error).__name__}: {one_line(error)}"
        ) from None
    if loss.shape != (rows,):
        raise JobError(f"objective: {path} gives a loss of shape {tuple(loss.shape)}; wants one per row, ({rows},)")
    if not loss.requires_grad:
        raise JobError(f"objective: {path} gives a loss without gradient; compute it from the logits with torch")
