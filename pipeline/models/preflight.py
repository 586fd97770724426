"""What a model must be for its verdicts to mean anything, tried on a few rows before a run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.loading import LoadedModel
from pipeline.rows import Pixels
from schemas.errors import JobError

SUM_TOLERANCE = 1e-4
NEIGHBOUR_TOLERANCE = 1e-3
"""Kernels for other batch shapes differ by some 1e-6 of a logit; batch statistics by far more than this."""


def check_model(model: LoadedModel, pixels: Pixels, *, device: torch.device) -> None:
    """Raises JobError where the model does not take the rows, or does not give one stable row of logits for each."""
    shape = f"{pixels.shape[2]} x {pixels.shape[1]} with {pixels.shape[3]} channels"
    try:
        logits = _forward(model, pixels, device)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        first = " ".join(str(error).split())[:200]
        raise JobError(f"model: {model.model_id} does not take rows of {shape}: {first}") from None
    if logits.ndim != 2 or len(logits) != len(pixels):
        raise JobError(f"model: {model.model_id} gives shape {logits.shape} for {len(pixels)} rows; wants one row each")
    if logits.shape[1] != model.classes:
        raise JobError(f"model.classes: got {model.classes}, but {model.model_id} gives {logits.shape[1]} logits")
    if not np.isfinite(logits).all():
        raise JobError(f"model: {model.model_id} gives NaN or infinite logits on rows of {shape}; check its weights")
    if logits.min() >= 0 and logits.max() <= 1 and np.abs(logits.sum(axis=1) - 1).max() < SUM_TOLERANCE:
        raise JobError(
            f"model: {model.model_id} returns probabilities; attacks need logits: take the softmax off its end"
        )
    if not np.array_equal(logits, _forward(model, pixels, device)):
        raise JobError(f"model: {model.model_id} answers the same rows differently each time; switch its noise off")
    alone = np.concatenate([_forward(model, pixels[i : i + 1], device) for i in range(min(2, len(pixels)))])
    scale = max(1.0, float(np.abs(logits).max()))
    if np.abs(alone - logits[: len(alone)]).max() > NEIGHBOUR_TOLERANCE * scale:
        raise JobError(f"model: {model.model_id} answers a row differently beside other rows; is it in training mode?")


def _forward(model: LoadedModel, pixels: Pixels, device: torch.device) -> NDArray[np.float32]:
    with torch.no_grad():
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float() / 255
        answer: NDArray[np.float32] = model.module(images).float().cpu().numpy()
        return answer
