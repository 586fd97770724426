"""Losses of the training methods, bound to their declarations.

To add one: declare it in `schemas.job.training_methods`, write its loss here, and give it a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from hardset.pipeline.attacks.passes import Scores
from hardset.pipeline.extensions import declarations
from hardset.pipeline.training import losses
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.training import Train
from hardset.schemas.job.training_methods import METHODS, MethodDeclaration


@dataclass(frozen=True)
class Batch:
    """N rows of one step, on the device."""

    clean: Tensor
    """Rows of the source or of shards, float32 (N, C, H, W) in [0, 1]."""
    adversarial: Tensor
    """The same rows under attack; the same object if the method attacks none."""
    labels: Tensor
    """Class numbers, int64 (N,)."""


@dataclass(frozen=True)
class Weighing:
    """Weights and settings of a loss."""

    beta: float
    """Weight of the robust term; 0 where the method has none."""
    smoothing: float
    """Share of the label's probability that is spread over all classes."""
    settings: Any = None
    """The method's own settings; None where it declares none."""


Loss = Callable[[Scores, Batch, Weighing], tuple[Tensor, Tensor]]
"""(model, batch, weighing) -> loss (N,), and the logits (N, K) that training accuracy is counted by."""


@dataclass(frozen=True)
class Method:
    """One way to train."""

    declaration: MethodDeclaration
    loss: Loss


def _on_clean(ask: Scores, batch: Batch, weighing: Weighing) -> tuple[Tensor, Tensor]:
    logits = ask(batch.clean)
    return losses.cross_entropy(logits, batch.labels, weighing.smoothing), logits


def _on_adversarial(ask: Scores, batch: Batch, weighing: Weighing) -> tuple[Tensor, Tensor]:
    logits = ask(batch.adversarial)
    return losses.cross_entropy(logits, batch.labels, weighing.smoothing), logits


def _trades(ask: Scores, batch: Batch, weighing: Weighing) -> tuple[Tensor, Tensor]:
    clean, adversarial = ask(batch.clean), ask(batch.adversarial)
    return losses.trades(clean, adversarial, batch.labels, weighing.beta, weighing.smoothing), adversarial


def _mart(ask: Scores, batch: Batch, weighing: Weighing) -> tuple[Tensor, Tensor]:
    clean, adversarial = ask(batch.clean), ask(batch.adversarial)
    return losses.mart(clean, adversarial, batch.labels, weighing.beta, weighing.smoothing), adversarial


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "shards": _on_clean,
        "standard": _on_clean,
        "fgsm_rs": _on_adversarial,
        "pgd_at": _on_adversarial,
        "trades": _trades,
        "mart": _mart,
    }
)
"""Loss of each method of `METHODS`."""


def method_of(settings: Train) -> Method:
    """The method that `train.method` names. Raises JobError where a user's own cannot be found."""
    if settings.method in METHODS:
        return Method(METHODS[settings.method], LOSSES[settings.method])
    return declarations.find(settings.method, Method, at="train.method")


def check_method(settings: Train) -> None:
    """Raises JobError, which begins with a key, where the method cannot be found or would have to ignore a setting."""
    declaration = method_of(settings).declaration
    try:
        settings.check(declaration)
    except ValueError as error:
        raise JobError(f"train.{error}") from None
    own_settings(settings, declaration)


def weighing(settings: Train) -> Weighing:
    """`train.beta` or the method's own, `train.label_smoothing`, and the method's own settings. Raises JobError."""
    declaration = method_of(settings).declaration
    beta = declaration.beta if settings.beta is None else settings.beta
    return Weighing(beta or 0.0, settings.label_smoothing, own_settings(settings, declaration))


def own_settings(settings: Train, declaration: MethodDeclaration) -> Spec | None:
    """`train.settings` as the method declares them; None where it declares none. Raises JobError."""
    if declaration.settings is None:
        return None
    return declarations.settled(declaration.settings, settings.settings or {}, at="train.settings")


def method_code(settings: Train) -> dict[str, Any]:
    """Code version of a user's own method for the id of a training; empty for the methods of hardset."""
    if settings.method in METHODS:
        return {}
    declared = method_of(settings).declaration.code
    return {"code": declarations.code_of(settings.method) if declared is None else declared}
