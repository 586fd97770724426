"""Losses of training: pure functions of logits and labels, one value per row, in float32.

Logits are float (N, K), labels int64 (N,); every loss is float32 (N,). Means are taken outside, over the rows of all
workers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-12  # probabilities of 0 have no logarithm


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy; `smoothing` of the label's probability is spread over all classes (Szegedy et al. 2016)."""
    return F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing)


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(softmax(reference) || softmax(logits)) of each row."""
    expected, given = F.log_softmax(reference.float(), dim=1), F.log_softmax(logits.float(), dim=1)
    return (expected.exp() * (expected - given)).sum(dim=1)


def trades(clean: Tensor, adversarial: Tensor, labels: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """CE(f(x), y) + beta * KL(f(x) || f(x')) of Zhang et al., "Theoretically principled trade-off" (ICML 2019), (5)."""
    return cross_entropy(clean, labels, smoothing) + beta * divergence(clean, adversarial)


def boosted_cross_entropy(adversarial: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log p'_y - log(1 - max_{k != y} p'_k) of Wang et al., "Misclassification aware" (ICLR 2020), (7)."""
    probabilities = F.softmax(adversarial.float(), dim=1)
    rival = probabilities.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return cross_entropy(adversarial, labels, smoothing) - torch.log(1 - rival + _TINY)


def mart(clean: Tensor, adversarial: Tensor, labels: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """BCE(f(x'), y) + beta * KL(f(x) || f(x')) * (1 - p_y) of Wang et al. (ICLR 2020), (11)."""
    confidence = F.softmax(clean.float(), dim=1).gather(1, labels[:, None])[:, 0]
    unsure = divergence(clean, adversarial) * (1 - confidence)
    return boosted_cross_entropy(adversarial, labels, smoothing) + beta * unsure
