"""Content of an evaluation's report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.reporting.embedding import MOST_IMAGES
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
    """Clean pixels, uint8 H x W x C; `attacked` alike."""
    attacked: NDArray[np.uint8]


@dataclass(frozen=True)
class EvaluationContent:
    """An evaluation's record and its example rows."""

    record: Evaluation
    examples: tuple[AttackedExample, ...] = ()
    images: int = MOST_IMAGES
    """Maximum number of images of the example rows."""


Build = Callable[[EvaluationContent], Markup | None]
"""Function that draws one section, or returns None if there is nothing to show."""


def at_threat(model: ModelFigures, attack: AttackFigures) -> Share:
    """Robust accuracy under an attack at its threat's budget."""
    eps = next(one.eps for one in model.threats if one.norm == attack.attack["norm"])
    return next(point.robust for point in attack.points if point.eps == eps)
