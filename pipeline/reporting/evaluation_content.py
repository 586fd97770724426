"""What the report of an evaluation is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.reporting.markup import Markup
from hardset.schemas.records.evaluation import AttackFigures, Evaluation, ModelFigures, Share


@dataclass(frozen=True)
class AttackedExample:
    """One row under one attack, at the threat's budget."""

    model: str
    attack: str
    eps: str
    source_key: str
    source_sha256: str
    label: int
    clean_pred: int
    pred: int
    margin: float
    confidence: float
    gradients: int
    queries: int
    clean: NDArray[np.uint8]
    """H x W x C."""
    attacked: NDArray[np.uint8]


@dataclass(frozen=True)
class EvaluationContent:
    """A record, and rows to look at."""

    record: Evaluation
    examples: tuple[AttackedExample, ...] = ()


Build = Callable[[EvaluationContent], Markup | None]
"""Draws one section, or nothing where there is nothing to say."""


def at_threat(model: ModelFigures, attack: AttackFigures) -> Share:
    """Robust accuracy under an attack at the budget of its threat."""
    eps = next(one.eps for one in model.threats if one.norm == attack.attack["norm"])
    return next(point.robust for point in attack.points if point.eps == eps)
