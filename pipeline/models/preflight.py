"""Checks the model on a few rows before the work starts; each defect is reported in one sentence."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.batches import Pixels
from hardset.pipeline.judging.judge import as_images, exact_float32, seeded
from hardset.pipeline.models.loading import LoadedModel
from hardset.pipeline.models.outputs import Logits, logits_of
from hardset.pipeline.models.probabilities import are_one_probability, are_probabilities, in_unit_range, sigmoids
from hardset.schemas.errors import JobError, RunError, one_line

PROBE_ROWS = 8
# Relative to the largest logit. Float32 passes of one shape agree to 1e-6 even if a kernel sums in varying order.
_TOLERANCE = 1e-5
_SIZES = (1, 2, 4, 8, 16, 32, 64, 100, 128, 256)
"""Sizes of batch that a model which fails on another may be fixed to."""


def check_model(
    model: LoadedModel,
    pixels: Pixels,
    device: torch.device,
    *,
    stochastic: bool = False,
    batch: int | None = None,
) -> tuple[str, ...]:
    """Runs the model, and each member of an ensemble, on the first rows of `pixels` (uint8 N x H x W x C, N > 0).

    Returns warnings: what its file held besides, and outputs that look like sigmoids. Raises JobError if a network does
    not accept the shape, does not return `model.classes` finite logits per row, returns probabilities, writes into its
    input, mixes the rows of a batch, or is not deterministic; RunError if memory runs out. `stochastic`: the model may
    be random, as long as it draws only from torch's generators. `batch`: rows of a forward pass of the run, which is
    tried too; stochastic models are judged one row at a time, so that is tried for them.
    """
    found = [_check_network(member, pixels, device, stochastic, batch) for member in model.members or (model,)]
    return tuple(warning for warnings in found for warning in warnings)


def check_gradient(
    model: LoadedModel, pixels: Pixels, device: torch.device, *, batch: int | None = None
) -> tuple[str, ...]:
    """Checks that gradients reach the image; returns warnings: all are zero or not finite, or some are not finite.

    Raises JobError if there are none, RunError if memory runs out. `pixels` and `batch` as for `check_model`.
    """
    probe = pixels[:PROBE_ROWS]
    with exact_float32(device), torch.no_grad():
        if batch is not None and not _takes(model, probe, device):
            probe = np.resize(probe, (batch, *probe.shape[1:]))
    found = [_gradient(part, model.key, probe, device) for part in model.parts or (model.module,)]
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


def _gradient(module: nn.Module, key: str, pixels: Pixels, device: torch.device) -> Tensor:
    images = as_images(pixels, device).requires_grad_()
    try:
        with exact_float32(device), torch.enable_grad(), seeded(device):
            best = module(images).float().topk(2, dim=1).values
            (gradient,) = torch.autograd.grad((best[:, 0] - best[:, 1]).sum(), images)
    except torch.OutOfMemoryError as error:
        raise RunError(f"the device has not the memory for the gradient of {len(pixels)} rows") from error
    except Exception as error:  # the model is the user's code
        if "in-place operation" in str(error):
            raise JobError(_writes(key)) from error
        raise JobError(
            f"{key}: no gradient gets from the logits back to the image: {one_line(error)}; take detach(), "
            "no_grad() and the like out of it, or attack with square, which needs no gradients"
        ) from error
    return gradient


def _check_network(
    model: LoadedModel, pixels: Pixels, device: torch.device, stochastic: bool, batch: int | None
) -> list[str]:
    probe = pixels[:PROBE_ROWS] if len(pixels) > 1 else np.repeat(pixels, 2, axis=0)
    with exact_float32(device), torch.no_grad():
        for size in {batch or len(probe)} | ({1} if stochastic else set()):
            _check_size(model, probe, size, device)
        if batch is not None and not _takes(model, probe, device):
            probe = np.resize(probe, (batch, *probe.shape[1:]))  # a graph that was traced for one size of batch
        others = probe.copy()
        others[1::2] = 255 - others[1::2]
        raw = _logits(model, probe, device, 0)
        repeated, beside_others = (_logits(model, rows, device, 0).float() for rows in (probe, others))
        another = _logits(model, probe, device, 1).float()
    logits = raw.float()
    if _differ(logits, repeated):
        raise JobError(
            f"{model.key}: the model answers differently when asked twice, even from one state of torch's "
            "generators; switch off what is random in it, or draw it with torch"
        )
    if _differ(logits, another) and not stochastic:
        raise JobError(
            f"{model.key}: the model answers differently when asked twice; switch off what is random in it, "
            "such as dropout that ignores eval mode, or set eot above 1 in every attack recipe"
        )
    if len(probe) > 1 and _differ(logits[::2], beside_others[::2]):
        raise JobError(
            f"{model.key}: a row's logits change with its neighbours in the batch; batch normalisation must use "
            "its running statistics (track_running_stats=True and eval mode)"
        )
    both = torch.cat((raw, beside_others))  # of both kinds of rows: a few logits of one may lie in [0, 1] by chance
    if are_one_probability(both):
        raise JobError(
            f"{model.key}: the model returns one probability for two classes; wants the logit, so remove the sigmoid "
            "at its end"
        )
    if are_probabilities(raw) and are_probabilities(both):
        raise JobError(f"{model.key}: the model returns probabilities; wants logits, so remove the softmax at its end")
    return [*model.told, *([sigmoids(model.at)] if in_unit_range(both) else [])]


def _check_size(model: LoadedModel, probe: Pixels, size: int, device: torch.device) -> None:
    """Raises JobError where the model fails on `size` rows, with the size of batch that it takes where it is fixed."""
    try:
        _logits(model, np.resize(probe, (size, *probe.shape[1:])), device, 0, sized=size != len(probe))
    except JobError as error:
        if error.__cause__ is None:  # it answers, and with what is no batch of logits
            raise
        taken = [other for other in _SIZES if _takes(model, np.resize(probe, (other, *probe.shape[1:])), device)]
        if len(taken) == 1:
            raise JobError(
                f"{model.key}: the model fails on {size} rows, and takes batches of {taken[0]} alone: set run.batch: "
                f"{taken[0]}"
            ) from error
        raise


def _takes(model: LoadedModel, probe: Pixels, device: torch.device) -> bool:
    try:
        _logits(model, probe, device, 0)
    except JobError:
        return False
    return True


def _logits(model: LoadedModel, pixels: Pixels, device: torch.device, seed: int, *, sized: bool = False) -> Tensor:
    """Logits (N, classes) as the model gives them; shape and finiteness are checked.

    `sized`: whether a fault must lie in the number of rows, because other numbers are tried as well.
    """
    rows, height, width, channels = pixels.shape
    at = model.at
    images = as_images(pixels, device)
    try:
        with seeded(device, seed):
            found = model.module(images)
    except torch.OutOfMemoryError as error:
        raise RunError(f"the device has not the memory for {rows} rows of {height}x{width}x{channels}") from error
    except Exception as error:  # the model is the user's code
        cause = f"{type(error).__name__}: {one_line(error)}"
        where = f"{rows} row{'s' * (rows > 1)} of " if sized else ""
        raise JobError(
            f"{model.key}: the model fails on {where}images of {height}x{width}x{channels} (height, width, channels): "
            f"{cause}; {_remedy(error, model)}"
        ) from error
    if not torch.equal(images, as_images(pixels, device)):
        raise JobError(_writes(model.key))
    if not isinstance(found, Tensor):
        auto = any(isinstance(part, Logits) for part in model.module.modules())
        raise JobError(
            f"{model.key}: the model returns a {type(found).__name__}; wants one tensor of logits: "
            + (
                "write a factory whose module returns it"
                if auto
                else f"{at}.output: auto takes them out of an object, a mapping or a tuple"
            )
        )
    if found.dim() != 2 or len(found) != rows:
        raise JobError(_other_shape(model, found, rows))
    if not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise JobError(f"{model.key}: the model returns numbers of type {kind}; wants logits in floating point")
    if found.shape[1] != model.classes:
        raise JobError(_other_classes(model, found.shape[1]))
    if not bool(torch.isfinite(found).all()):
        raise JobError(
            f"{at}.weights: the model returns NaN or infinite logits on the first rows; check the weights and "
            f"{at}.normalize"
        )
    return found


def _other_shape(model: LoadedModel, found: Tensor, rows: int) -> str:
    classes, shape = model.classes, tuple(found.shape)
    told = (
        f"{model.key}: the model returns a tensor of shape {shape} for {rows} row{'s' * (rows > 1)}; wants "
        f"({rows}, {classes})"
    )
    if rows == 1 and shape == (classes,):
        return f"{told}; squeeze() without a dimension drops that of a single row: write flatten(1), or raise run.batch"
    if not found.is_floating_point():
        return f"{told}, logits, and not numbers of classes: take the argmax off its end"
    if shape == (rows,) and classes == 2:
        return f"{told}; set {model.at}.output: auto, which makes [0, z] of one logit"
    if isinstance(logits_of(found, rows, classes), Tensor) and logits_of(found, rows, classes).shape == (rows, classes):
        return f"{told}; set {model.at}.output: auto, which leaves out axes of one place"
    return told


def _writes(key: str) -> str:
    return (
        f"{key}: the model writes into the images that it is given, as sub_() and -= do; write images = images - mean, "
        "or leave that to normalize"
    )


def _remedy(error: Exception, model: LoadedModel) -> str:
    """What to do about a forward pass that failed."""
    text = str(error)
    if (
        isinstance(error, TypeError)
        and re.search(r"positional argument|required keyword", text)
        and "forward()" in text
    ):
        return "it is called with the images alone: write a factory whose module gives it the other arguments"
    if re.search(r"Half|BFloat16|float16|bfloat16", text):
        return (
            "hardset runs models in float32, and this one turns its images or weights to half precision itself: take "
            ".half() and the like out of it"
        )
    if "does not require grad" in text:
        return "it takes gradients itself: have it do so under torch.enable_grad(), on a copy that requires them"
    if re.search(r"Double|float64", text):
        return "hardset runs models in float32, and this one turns its images to float64: take .double() out of it"
    if re.search(r"Expected all tensors to be on the same device|not compiled with CUDA|No CUDA|NVIDIA driver", text):
        return "it makes tensors on a device of its own: use the device of its input instead"
    return f"check {'' if model.saved else f'{model.at}.arguments, or '}source.size and source.channels"


def _other_classes(model: LoadedModel, found: int) -> str:
    at, declared = model.at, model.classes
    if found == 1 and declared == 2:
        return f"{at}: the model returns one logit for two classes; set {at}.output: auto, which makes it [0, z]"
    if at == "model":
        return f"model.classes: got {declared}, but the model returns {found} logits; they must be the same"
    return f"{model.key}: the model returns {found} logits; wants {declared}, as model.classes says"


def _differ(one: Tensor, other: Tensor) -> bool:
    scale = max(1.0, float(one.abs().max()))
    return float((one - other).abs().max()) > _TOLERANCE * scale
