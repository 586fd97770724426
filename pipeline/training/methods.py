"""The training methods as a table: what each shows the model, how that is attacked, and which loss falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from hardset.pipeline.attacks.passes import Scores
from hardset.pipeline.training import losses
from hardset.schemas.job.training import Train, TrainingMethod


@dataclass(frozen=True)
class Batch:
    """N rows of one step, on the device."""

    clean: Tensor
    """As they are in the source or in shards, float32 (N, C, H, W) in [0, 1]."""
    adversarial: Tensor
    """The same rows attacked; the same object where the method attacks none."""
    labels: Tensor
    """int64 (N,)."""


Loss = Callable[[Scores, Batch, Train], tuple[Tensor, Tensor]]
"""(model, batch, settings) -> loss (N,), and the logits (N, K) that training accuracy is counted by."""


@dataclass(frozen=True)
class Method:
    """One way to train."""

    loss: Loss
    attack: Literal["none", "label", "answer"] = "none"
    """On every batch: none; away from the label; away from the model's own answer on the clean row."""


def _as_they_are(ask: Scores, batch: Batch, settings: Train) -> tuple[Tensor, Tensor]:
    logits = ask(batch.clean)
    return losses.cross_entropy(logits, batch.labels, settings.label_smoothing), logits


def _on_adversarial(ask: Scores, batch: Batch, settings: Train) -> tuple[Tensor, Tensor]:
    logits = ask(batch.adversarial)
    return losses.cross_entropy(logits, batch.labels, settings.label_smoothing), logits


def _trades(ask: Scores, batch: Batch, settings: Train) -> tuple[Tensor, Tensor]:
    clean, adversarial = ask(batch.clean), ask(batch.adversarial)
    beta, smoothing = settings.robust_weight, settings.label_smoothing
    return losses.trades(clean, adversarial, batch.labels, beta, smoothing), adversarial


def _mart(ask: Scores, batch: Batch, settings: Train) -> tuple[Tensor, Tensor]:
    clean, adversarial = ask(batch.clean), ask(batch.adversarial)
    beta, smoothing = settings.robust_weight, settings.label_smoothing
    return losses.mart(clean, adversarial, batch.labels, beta, smoothing), adversarial


METHODS: Mapping[TrainingMethod, Method] = MappingProxyType(
    {
        "standard": Method(_as_they_are),
        "shards": Method(_as_they_are),
        "fgsm_rs": Method(_on_adversarial, attack="label"),
        "pgd_at": Method(_on_adversarial, attack="label"),
        "trades": Method(_trades, attack="answer"),
        "mart": Method(_mart, attack="label"),
    }
)
