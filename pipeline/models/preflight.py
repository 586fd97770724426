"""Checks the model on a few rows before the work starts; each defect is reported in one sentence."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.batches import Pixels
from hardset.pipeline.extensions.imports import one_line
from hardset.pipeline.judging.judge import as_images, exact_float32, seeded
from hardset.pipeline.models.loading import LoadedModel
from hardset.schemas.errors import JobError, RunError

PROBE_ROWS = 8
# Relative to the largest logit. Float32 passes of one shape agree to 1e-6 even if a kernel sums in varying order.
_TOLERANCE = 1e-5
_SUM_TOLERANCE = 1e-4


def check_model(model: LoadedModel, pixels: Pixels, device: torch.device, *, stochastic: bool = False) -> None:
    """Runs the model, and each member of an ensemble, on the first rows of `pixels` (uint8 N x H x W x C, N > 0).

    Raises JobError if a network does not accept the shape, does not return `model.classes` finite logits per row,
    returns probabilities, mixes the rows of a batch, or is not deterministic; RunError if memory runs out.
    `stochastic`: the model may be random, as long as it draws only from torch's generators.
    """
    for member in model.members or (model,):
        _check_network(member, pixels, device, stochastic)


def check_gradient(model: LoadedModel, pixels: Pixels, device: torch.device) -> tuple[str, ...]:
    """Checks that gradients reach the image; returns warnings: all are zero or not finite, or some are not finite.

    Raises JobError if there are none, RunError if memory runs out. `pixels` as for `check_model`.
    """
    found = [_gradient(part, model.at, pixels[:PROBE_ROWS], device) for part in model.parts or (model.module,)]
    useless = all(not bool((gradient.isfinite() & (gradient != 0)).any()) for gradient in found)
    if useless:
        return (_useless(model.at),)
    lost = sum(int((~gradient.isfinite()).sum()) for gradient in found)
    return (_nonfinite(model.at, lost / sum(gradient.numel() for gradient in found)),) if lost else ()


def _nonfinite(at: str, share: float) -> str:
    return (
        f"{at}: the gradient of the first rows holds NaN or infinity ({share:.1%} of its components), as it does where "
        "sqrt, log, a division or a power below 1 meets 0, such as black pixels; attacks take these components for 0, "
        "so they may find less; keep them away from 0, as (x + 1e-6) ** p does, or add square, which needs no gradients"
    )


def _useless(at: str) -> str:
    return (
        f"{at}: the gradient of the first rows is zero everywhere, or not finite, so attacks that follow it find "
        "little; take out what rounds or saturates, or attack with square, which needs no gradients"
    )


def _gradient(module: nn.Module, at: str, pixels: Pixels, device: torch.device) -> Tensor:
    images = as_images(pixels, device).requires_grad_()
    try:
        with exact_float32(device), torch.enable_grad(), seeded(device):
            best = module(images).float().topk(2, dim=1).values
            (gradient,) = torch.autograd.grad((best[:, 0] - best[:, 1]).sum(), images)
    except torch.OutOfMemoryError as error:
        raise RunError(f"the device has not the memory for the gradient of {len(pixels)} rows") from error
    except Exception as error:  # the model is the user's code
        raise JobError(
            f"{at}.factory: no gradient gets from the logits back to the image: {one_line(error)}; take detach(), "
            "no_grad() and the like out of it, or attack with square, which needs no gradients"
        ) from error
    return gradient


def _check_network(model: LoadedModel, pixels: Pixels, device: torch.device, stochastic: bool) -> None:
    probe = pixels[:PROBE_ROWS] if len(pixels) > 1 else np.repeat(pixels, 2, axis=0)
    others = probe.copy()
    others[1::2] = 255 - others[1::2]
    with exact_float32(device), torch.no_grad():
        logits, repeated, beside_others = (_logits(model, rows, device, 0) for rows in (probe, probe, others))
        another = _logits(model, probe, device, 1)
    if _differ(logits, repeated):
        raise JobError(
            f"{model.at}.factory: the model answers differently when asked twice, even from one state of torch's "
            "generators; switch off what is random in it, or draw it with torch"
        )
    if _differ(logits, another) and not stochastic:
        raise JobError(
            f"{model.at}.factory: the model answers differently when asked twice; switch off what is random in it, "
            "such as dropout that ignores eval mode, or set eot above 1 in every attack recipe"
        )
    if _differ(logits[::2], beside_others[::2]):
        raise JobError(
            f"{model.at}.factory: a row's logits change with its neighbours in the batch; batch normalisation must use "
            "its running statistics (track_running_stats=True and eval mode)"
        )
    if _are_probabilities(logits):
        raise JobError(
            f"{model.at}.factory: the model returns probabilities; wants logits, so remove the softmax at its end"
        )


def _logits(model: LoadedModel, pixels: Pixels, device: torch.device, seed: int) -> Tensor:
    """Float32 logits (N, classes); shape and finiteness are checked."""
    rows, height, width, channels = pixels.shape
    at = model.at
    try:
        with seeded(device, seed):
            found = model.module(as_images(pixels, device))
    except torch.OutOfMemoryError as error:
        raise RunError(f"the device has not the memory for {rows} rows of {height}x{width}x{channels}") from error
    except Exception as error:  # the model is the user's code
        raise JobError(
            f"{at}.factory: the model fails on images of {height}x{width}x{channels} (height, width, channels): "
            f"{type(error).__name__}: {one_line(error)}; check {at}.arguments, or source.size and source.channels"
        ) from error
    if not isinstance(found, Tensor):
        raise JobError(f"{at}.factory: the model returns a {type(found).__name__}; wants one tensor of logits")
    if found.dim() != 2 or len(found) != rows:
        shapes = f"a tensor of shape {tuple(found.shape)} for {rows} rows"
        raise JobError(f"{at}.factory: the model returns {shapes}; wants ({rows}, {model.classes})")
    if found.shape[1] != model.classes:
        raise JobError(_other_classes(at, model.classes, found.shape[1]))
    if not bool(torch.isfinite(found).all()):
        raise JobError(
            f"{at}.weights: the model returns NaN or infinite logits on the first rows; check the weights and "
            f"{at}.normalize"
        )
    return found.float()


def _other_classes(at: str, declared: int, found: int) -> str:
    if at == "model":
        return f"model.classes: got {declared}, but the model returns {found} logits; they must be the same"
    return f"{at}.factory: the model returns {found} logits; wants {declared}, as model.classes says"


def _differ(one: Tensor, other: Tensor) -> bool:
    scale = max(1.0, float(one.abs().max()))
    return float((one - other).abs().max()) > _TOLERANCE * scale


def _are_probabilities(logits: Tensor) -> bool:
    in_range = bool(((logits >= 0) & (logits <= 1)).all())
    return in_range and bool(((logits.sum(dim=1) - 1).abs() <= _SUM_TOLERANCE).all())
