"""One float32 judge for the images of all implementations, as floats and as stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.judging.judge import Judge, exact_float32, within_budget

_BATCH = 128
_FLOAT_NOISE = 1e-6
"""Tolerance for float32 images that were clamped to the eps ball, on the [0, 1] pixel scale."""


@dataclass(frozen=True)
class FloatVerdict:
    """A model's robust accuracy on float images."""

    robust: float
    """Rows still classified correctly, in %."""
    over_budget: int
    """Rows farther than eps from their clean image, by more than float noise, or outside [0, 1]."""

    def record(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class StoredVerdict:
    """A model's robust accuracy on 8-bit pixels. A row has fallen if it was correct and no longer is."""

    rows: int
    robust: float
    """Rows still classified correctly, in %, of all rows; rows over budget count as their clean image."""
    fallen: int
    """Rows that were correct, are wrong now, and keep the budget."""
    over_budget: int

    def record(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def predictions(model: nn.Module, images: Tensor) -> NDArray[np.int64]:
    """Classes (N,) of float images (N, C, H, W), in exact float32 and one batch shape."""
    parts = []
    with exact_float32(images.device), torch.no_grad():
        for part in images.split(_BATCH):
            index = torch.arange(_BATCH, device=part.device).clamp_(max=len(part) - 1)
            parts.append(model(part[index])[: len(part)].argmax(1))
    return torch.cat(parts).cpu().numpy()


def judge_floats(model: nn.Module, images: Tensor, clean: Tensor, labels: Tensor, eps: Fraction) -> FloatVerdict:
    """Verdict on float images as they are: rows over budget are counted, not corrected."""
    right = predictions(model, images) == labels.cpu().numpy()
    apart = (images - clean).abs().flatten(1).amax(1)
    outside = (images < -_FLOAT_NOISE).flatten(1).any(1) | (images > 1 + _FLOAT_NOISE).flatten(1).any(1)
    over = (apart > float(eps) + _FLOAT_NOISE) | outside
    return FloatVerdict(robust=100 * float(right.mean()), over_budget=int(over.sum()))


def judge_stored(
    model: nn.Module,
    stored: NDArray[np.uint8],
    clean: NDArray[np.uint8],
    labels: NDArray[np.int64],
    eps: Fraction,
) -> StoredVerdict:
    """Verdict on stored rows (N, H, W, C); budgets are checked in integer levels."""
    judge = Judge(model, _BATCH, torch.device("cpu"))
    before = judge.logits(clean).argmax(1) == labels
    after = judge.logits(stored).argmax(1) == labels
    inside = within_budget(stored, clean, "linf", np.full(len(labels), float(eps)))
    right = np.where(inside, after, before)
    fallen = before & ~after & inside
    return StoredVerdict(len(labels), 100 * float(right.mean()), int(fallen.sum()), int((~inside).sum()))


def stored_as(images: Tensor, clean: NDArray[np.uint8], eps: Fraction, *, clamp: bool) -> NDArray[np.uint8]:
    """Float images rounded to 8-bit pixels (N, H, W, C); `clamp` clips them to the budget's integer levels."""
    levels = np.rint(images.permute(0, 2, 3, 1).cpu().numpy().astype(np.float64) * 255).clip(0, 255)
    if clamp:
        whole = int(eps * 255)
        levels = levels.clip(clean.astype(np.float64) - whole, clean.astype(np.float64) + whole)
    return levels.astype(np.uint8)
