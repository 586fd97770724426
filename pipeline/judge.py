"""The verdict: fp32, on the stored pixels, at a fixed batch shape; and distances in whole 8-bit levels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.rows import Pixels
from schemas.quantities import LEVEL_SLACK


@dataclass(frozen=True)
class Verdict:
    """What the model says of each row."""

    pred: NDArray[np.int64]
    margin: NDArray[np.float32]
    """Logit of the label less the best other logit; negative is an error."""
    confidence: NDArray[np.float32]
    """Softmax probability of `pred`."""


@dataclass(frozen=True)
class Judge:
    """Runs the model in fp32 on stored pixels, always at the full batch shape."""

    module: nn.Module
    """Images in [0, 1], N x C x H x W, to logits; frozen and in eval mode."""
    batch: int
    device: torch.device

    @property
    def verify_id(self) -> str:
        """Names how verdicts are computed."""
        return f"fp32-tf32off-b{self.batch}"

    def logits(self, pixels: Pixels) -> NDArray[np.float32]:
        """Logits float32 (N, classes) of uint8 N x H x W x C. The last batch is filled up by its first row."""
        parts = []
        with torch.no_grad(), _reference_precision():
            for start in range(0, len(pixels), self.batch):
                rows = pixels[start : start + self.batch]
                index = np.zeros(self.batch, np.int64)
                index[: len(rows)] = np.arange(len(rows))
                images = torch.from_numpy(rows[index]).to(self.device).permute(0, 3, 1, 2).float() / 255
                parts.append(self.module(images)[: len(rows)].float().cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)


@contextmanager
def _reference_precision() -> Iterator[None]:
    """No TF32 and no autocast, whatever the caller has set; put back afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


def verdict(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Verdict:
    """Prediction, margin and confidence from logits (N, classes)."""
    rows = np.arange(len(labels))
    pred = logits.argmax(axis=1).astype(np.int64)
    others = logits.copy()
    others[rows, labels] = -np.inf
    with np.errstate(invalid="ignore", over="ignore"):
        margin = logits[rows, labels] - others.max(axis=1)
        shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        confidence = shifted[rows, pred] / shifted.sum(axis=1)
    return Verdict(pred, margin.astype(np.float32), confidence.astype(np.float32))


def distances(stored: Pixels, clean: Pixels) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Largest change in 8-bit levels (int32), and Euclidean norm on the [0, 1] scale (float32)."""
    change = _change(stored, clean)
    levels = np.abs(change).max(axis=1, initial=0)
    return levels.astype(np.int32), (np.sqrt((change**2).sum(axis=1)) / 255).astype(np.float32)


def within_budget(stored: Pixels, clean: Pixels, norm: str, eps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each row lies in its ball, by integer arithmetic on the left-hand side."""
    change = _change(stored, clean)
    if norm == "linf":
        return np.asarray(np.abs(change).max(axis=1, initial=0) <= np.floor(eps * 255 + LEVEL_SLACK))
    if norm == "l2":
        return np.asarray((change**2).sum(axis=1) <= (eps * 255 + LEVEL_SLACK) ** 2)
    raise ValueError(f"no budget in norm {norm}")


def succeeded(
    clean_pred: NDArray[np.int64],
    pred: NDArray[np.int64],
    labels: NDArray[np.int64],
    targets: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Untargeted: the clean prediction was right and the stored one is wrong. Targeted: the target is predicted."""
    if targets is not None:
        return np.asarray(pred == targets)
    return np.asarray((clean_pred == labels) & (pred != labels))


def _change(stored: Pixels, clean: Pixels) -> NDArray[np.int64]:
    return (stored.astype(np.int64) - clean.astype(np.int64)).reshape(len(stored), -1)
