"""Outputs that are no logits: those of a softmax or a sigmoid, told by their values."""

from __future__ import annotations

import torch
from torch import Tensor

_SUM_TOLERANCE = 1e-4
_COARSE = (torch.bfloat16, torch.float16)


def are_probabilities(outputs: Tensor) -> bool:
    """Whether the rows of outputs (N, K) sum to 1, or to 100, as far as the type they were computed in can say."""
    values = outputs.double()
    total = values.sum(dim=1)
    whole = next((size for size in (1.0, 100.0) if abs(float(total[0]) - size) < size / 2), 1.0)
    tolerance = max(_SUM_TOLERANCE, outputs.shape[1] ** 0.5 * _resolution(outputs / whole))
    return bool((values >= 0).all()) and bool(((total / whole - 1).abs() <= tolerance).all())


def _resolution(outputs: Tensor) -> float:
    """Distance of 1 from the next number in the type that the values were rounded to, whatever holds them now."""
    for kind in _COARSE:
        if torch.equal(outputs.to(kind).to(outputs.dtype), outputs):
            return torch.finfo(kind).eps
    return torch.finfo(outputs.dtype).eps if outputs.dtype.is_floating_point else 0.0


def in_unit_range(outputs: Tensor) -> bool:
    """Whether all outputs lie in [0, 1]."""
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def are_one_probability(outputs: Tensor) -> bool:
    """Whether outputs (N, 2) are [0, z] with z in [0, 1], as one sigmoid for two classes gives them."""
    return outputs.shape[1] == 2 and bool((outputs[:, 0] == 0).all()) and in_unit_range(outputs)


def sigmoids(at: str) -> str:
    """The warning of outputs in [0, 1] that do not sum to 1; `at`: the model's key in the job."""
    return (
        f"{at}: all outputs lie in [0, 1] and do not sum to 1, as those of a sigmoid or a multi-label head do; attacks "
        "take them for logits, which are flat where a sigmoid saturates, so they find less; return what goes into the "
        "sigmoid"
    )
