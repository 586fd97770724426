"""The losses that attacks maximise: one per row, in float32, never reduced over rows.

A mean would make a row's step depend on the batch size and lets half-precision gradients underflow sooner. Every
objective takes logits, float (N, K), and a `Goal`, and gives float32 (N,), larger where the attack is closer to its
goal; the untargeted ones ignore the goal's targets, those that reach for a class ignore its labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-12
_WIDEST_GAP = 10.0  # of logits, before softmax: beyond a gap of 17 the gradient of a probability is below 1e-7


@dataclass(frozen=True)
class Goal:
    """The goals of N rows, and how far their searches are."""

    labels: Tensor
    """True classes, int64 (N,)."""
    targets: Tensor
    """Classes to reach or to be guided by, int64 (N,)."""
    order: Tensor
    """Number of the search among those of its row, int64 (N,)."""
    share: Tensor
    """Share of the steps that are done, float32 (N,)."""

    def part(self, rows: slice) -> Goal:
        """The goals of some of the rows."""
        return Goal(self.labels[rows], self.targets[rows], self.order[rows], self.share[rows])


Objective = Callable[[Tensor, Goal], Tensor]
"""(logits (N, K), goal) -> loss (N,)."""


def cross_entropy(logits: Tensor, goal: Goal) -> Tensor:
    """Cross-entropy of the label (Goodfellow et al. 2015). Its gradient dies as exp(-gap) on confident rows."""
    return F.cross_entropy(logits.float(), goal.labels, reduction="none")


def targeted_cross_entropy(logits: Tensor, goal: Goal) -> Tensor:
    """Cross-entropy of the target, negated."""
    return -F.cross_entropy(logits.float(), goal.targets, reduction="none")


def margin(logits: Tensor, goal: Goal) -> Tensor:
    """Best other logit less the label's (Carlini and Wagner 2017, without the hinge); its gradient never vanishes."""
    return -label_margin(logits, goal.labels)


def targeted_margin(logits: Tensor, goal: Goal) -> Tensor:
    """Logit of the target less the best other."""
    return label_margin(logits, goal.targets)


def gap_to_target(logits: Tensor, goal: Goal) -> Tensor:
    """Logit of the target less that of the label: above 0 the label has lost, whichever class wins."""
    return _picked(logits, goal.targets) - _picked(logits, goal.labels)


def dlr(logits: Tensor, goal: Goal) -> Tensor:
    """Difference of logits ratio (Croce and Hein 2020): margin over the gap of first and third logit.

    Blind to shift and scale of the logits. With fewer than 3 classes there is no third logit: the margin itself.
    """
    if logits.shape[1] < 3:
        return margin(logits, goal)
    first, _, third = _largest(logits.float(), 3)
    return margin(logits, goal) / (first - third + _TINY)


def targeted_dlr(logits: Tensor, goal: Goal) -> Tensor:
    """DLR towards a class (Croce and Hein 2020): label's logit less the target's, over z1 - (z3 + z4) / 2, negated.

    With fewer than 4 classes: the plain difference of the two logits.
    """
    scores = logits.float()
    gap = _picked(scores, goal.targets) - _picked(scores, goal.labels)
    if logits.shape[1] < 4:
        return gap
    first, _, third, fourth = _largest(scores, 4)
    return gap / (first - (third + fourth) / 2 + _TINY)


def probability_margin(logits: Tensor, goal: Goal) -> Tensor:
    """Best other probability less the label's (Lin et al. 2024, arXiv 2411.15210).

    The logits of a row whose gap is wide are scaled down first, as its probabilities would give no gradient.
    """
    own, other = _label_and_best_other(logits, goal.labels)
    return other - own


def targeted_probability_margin(logits: Tensor, goal: Goal) -> Tensor:
    """Probability of the target less the best other."""
    own, other = _label_and_best_other(logits, goal.targets)
    return own - other


def probability_margin_in_turns(logits: Tensor, goal: Goal) -> Tensor:
    """The loss of PMA: a half of the margin for the first half of the steps, then the whole.

    Even searches raise the best other probability first, odd ones lower the label's (arXiv 2411.15210, section 3).
    """
    own, other = _label_and_best_other(logits, goal.labels)
    half = torch.where(goal.order % 2 == 0, other - 1, -own)
    return torch.where(goal.share < 0.5, half, other - own)


def label_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the best other, float32 (N,); below 0 is an error of the classifier."""
    scores = logits.float()
    others = scores.masked_fill(_places(scores, labels), -torch.inf)
    return _picked(scores, labels) - others.amax(dim=1)


def reached(logits: Tensor, labels: Tensor, targets: Tensor, *, targeted: bool) -> Tensor:
    """Whether the attack's goal is met, bool (N,): the target predicted, or else anything but the label.

    Rows with a NaN or infinite logit have reached nothing.
    """
    predicted = logits.argmax(dim=1)
    met = predicted == targets if targeted else predicted != labels
    return met & logits.isfinite().all(dim=1)


def _label_and_best_other(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities of the classes and of the best other, (N,) each, of logits whose gap is at most `_WIDEST_GAP`."""
    scores = logits.float()
    gap = label_margin(scores, classes).abs().detach()
    shares = F.softmax(scores * (_WIDEST_GAP / gap.clamp(min=_WIDEST_GAP))[:, None], dim=1)
    others = shares.masked_fill(_places(shares, classes), -torch.inf)
    return _picked(shares, classes), others.amax(dim=1)


def _picked(scores: Tensor, classes: Tensor) -> Tensor:
    # Not by gather: with deterministic kernels on CUDA, scatter, which its gradient needs, waits for the device.
    return torch.where(_places(scores, classes), scores, 0).sum(dim=1)


def _places(scores: Tensor, classes: Tensor) -> Tensor:
    """Where each row's class is, bool (N, K)."""
    return torch.arange(scores.shape[1], device=scores.device) == classes[:, None]


def _largest(scores: Tensor, count: int) -> list[Tensor]:
    """The `count` largest scores of each row, (N,) each, largest first."""
    where = scores.detach().topk(count, dim=1).indices
    return [_picked(scores, classes) for classes in where.unbind(1)]
