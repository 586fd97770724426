"""A few rows through the model before the work starts: every way it can be unfit, as one sentence."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.judge import as_images, exact_float32
from pipeline.models.loading import LoadedModel
from pipeline.rows import Pixels
from schemas.errors import JobError, RunError

PROBE_ROWS = 8
# Of the largest logit. Float32 passes of one shape agree to 1e-6 even where a kernel adds in varying order.
_TOLERANCE = 1e-5
_SUM_TOLERANCE = 1e-4


def check_model(model: LoadedModel, pixels: Pixels, device: torch.device) -> None:
    """Tries the model on the first rows of `pixels` (uint8 N x H x W x C, one row or more).

    Raises JobError where it does not take the shape, gives other than `model.classes` finite logits per row, gives
    probabilities, mixes the rows of a batch, or answers differently each time; RunError where memory runs out.
    """
    probe = pixels[:PROBE_ROWS] if len(pixels) > 1 else np.repeat(pixels, 2, axis=0)
    others = probe.copy()
    others[1::2] = 255 - others[1::2]
    with exact_float32(device), torch.no_grad(), torch.random.fork_rng(devices=[]):
        logits = _logits(model, probe, device)
        again = _logits(model, probe, device)
        beside_others = _logits(model, others, device)
    if _differ(logits, again):
        raise JobError(
            "model.factory: the model answers differently when asked twice; switch off what is random in it, such as "
            "dropout that ignores eval mode"
        )
    if _differ(logits[::2], beside_others[::2]):
        raise JobError(
            "model.factory: a row's logits change with its neighbours in the batch; batch normalisation must use its "
            "running statistics (track_running_stats=True and eval mode)"
        )
    if _are_probabilities(logits):
        raise JobError("model.factory: the model returns probabilities; wants logits, so remove the softmax at its end")


def _logits(model: LoadedModel, pixels: Pixels, device: torch.device) -> Tensor:
    """Float32 logits, checked for shape and finiteness."""
    rows, height, width, channels = pixels.shape
    try:
        found = model.module(as_images(pixels, device))
    except torch.OutOfMemoryError as error:
        raise RunError(f"the device has not the memory for {rows} rows of {height}x{width}x{channels}") from error
    except Exception as error:  # the model is the user's code
        reason = " ".join(str(error).split())[:160]
        raise JobError(
            f"model.factory: the model fails on images of {height}x{width}x{channels} (height, width, channels): "
            f"{type(error).__name__}: {reason}; check model.arguments, or source.size and source.channels"
        ) from error
    if not isinstance(found, Tensor):
        raise JobError(f"model.factory: the model returns a {type(found).__name__}; wants one tensor of logits")
    if found.dim() != 2 or len(found) != rows:
        shapes = f"a tensor of shape {tuple(found.shape)} for {rows} rows"
        raise JobError(f"model.factory: the model returns {shapes}; wants ({rows}, {model.classes})")
    if found.shape[1] != model.classes:
        raise JobError(
            f"model.classes: got {model.classes}, but the model returns {found.shape[1]} logits; they must be the same"
        )
    if not bool(torch.isfinite(found).all()):
        raise JobError(
            "model.weights: the model returns NaN or infinite logits on the first rows; check the weights and "
            "model.normalize"
        )
    return found.float()


def _differ(one: Tensor, other: Tensor) -> bool:
    scale = max(1.0, float(one.abs().max()))
    return float((one - other).abs().max()) > _TOLERANCE * scale


def _are_probabilities(logits: Tensor) -> bool:
    in_range = bool(((logits >= 0) & (logits <= 1)).all())
    return in_range and bool(((logits.sum(dim=1) - 1).abs() <= _SUM_TOLERANCE).all())
