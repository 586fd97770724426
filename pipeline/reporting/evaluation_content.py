"""What the report of an evaluation is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardset.pipeline.evaluation.examples import Example
from hardset.pipeline.reporting.markup import Markup
from hardset.schemas.evaluation_record import AttackFigures, Evaluation, ModelFigures, Share


@dataclass(frozen=True)
class EvaluationContent:
    """A record, and rows to look at."""

    record: Evaluation
    examples: tuple[Example, ...] = ()


Build = Callable[[EvaluationContent], Markup | None]
"""Draws one section, or nothing where there is nothing to say."""


def at_threat(model: ModelFigures, attack: AttackFigures) -> Share:
    """Robust accuracy under an attack at the budget of its threat."""
    eps = next(one.eps for one in model.threats if one.norm == attack.attack["norm"])
    return next(point.robust for point in attack.points if point.eps == eps)
