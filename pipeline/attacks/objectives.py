"""What an attack maximises: one loss per row, in float32, never reduced over rows.

A mean would make a row's step depend on the batch size and lets half-precision gradients underflow sooner. Every
objective takes (logits float (N, K), labels int64 (N,), targets int64 (N,)) and gives float32 (N,); the untargeted
ones ignore `targets`, those that reach for a class ignore `labels`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits (N, K), labels (N,), targets (N,)) -> loss (N,), larger where the attack is closer to its goal."""

_TINY = 1e-12


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the label (Goodfellow et al. 2015). Its gradient dies as exp(-gap) on confident rows."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def targeted_cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the target, negated."""
    return -F.cross_entropy(logits.float(), targets, reduction="none")


def margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Best other logit less the label's (Carlini and Wagner 2017, without the hinge); its gradient never vanishes."""
    return -label_margin(logits, labels)


def targeted_margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Logit of the target less the best other."""
    return label_margin(logits, targets)


def dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Difference of logits ratio (Croce and Hein 2020): margin over the gap of first and third logit.

    Blind to shift and scale of the logits. With fewer than 3 classes there is no third logit: the margin itself.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels, targets)
    top = logits.float().topk(3, dim=1).values
    return margin(logits, labels, targets) / (top[:, 0] - top[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """DLR towards a class (Croce and Hein 2020): label's logit less the target's, over z1 - (z3 + z4) / 2, negated.

    With fewer than 4 classes: the plain difference of the two logits.
    """
    scores = logits.float()
    gap = _picked(scores, targets) - _picked(scores, labels)
    if logits.shape[1] < 4:
        return gap
    top = scores.topk(4, dim=1).values
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + _TINY)


def label_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the best other, float32 (N,); below 0 is an error of the classifier."""
    scores = logits.float()
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return _picked(scores, labels) - others.amax(dim=1)


def reached(logits: Tensor, labels: Tensor, targets: Tensor, *, targeted: bool) -> Tensor:
    """Whether the attack's goal is met, bool (N,): the target predicted, or else anything but the label.

    Rows with a NaN or infinite logit have reached nothing.
    """
    predicted = logits.argmax(dim=1)
    met = predicted == targets if targeted else predicted != labels
    return met & logits.isfinite().all(dim=1)


def _picked(scores: Tensor, classes: Tensor) -> Tensor:
    return scores.gather(1, classes[:, None]).squeeze(1)
