"""The 8-bit grid: what an image becomes when it is stored, without ever leaving its budget.

Budgets are whole numbers here. Linf: 8-bit levels that fit in eps. L2: largest sum of squared level changes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.quantities import LEVEL_SLACK

_HALVINGS = 10  # of the rounding threshold: finds it to 1/2048 of a level
_INWARD = 1.0 - 1e-5  # float32 leaves ||x - clean|| within 1e-6 of the radius; rounding must start from inside


def linf_budget(eps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole 8-bit levels in budgets on the [0, 1] scale; agrees with `schemas.quantities.whole_levels`."""
    return (eps * 255 + LEVEL_SLACK).astype(np.int64)


def l2_budget(eps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Largest whole sum of squared level changes within L2 budgets on the [0, 1] scale."""
    return ((eps * 255) ** 2 + LEVEL_SLACK).astype(np.int64)


def round_linf(images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
    """Nearest levels (halves to even) within `budget` levels of the clean ones.

    `images`: float32 (N, ...) in [0, 1]; `levels`: clean levels as float32 (N, ...); `budget`: (N,).
    Returns whole numbers 0 to 255 as float32 (N, ...).
    """
    allowed = per_row(budget.to(images.dtype), images)
    nearest = torch.round(images * 255)
    return torch.minimum(torch.maximum(nearest, levels - allowed), levels + allowed).clamp_(0, 255)


def round_l2(images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
    """Nearest levels, rounded towards the clean ones as far as the sum of squared changes demands.

    Values whose fraction is smallest give way first; what the budget still holds at the last threshold is given out
    in order of position. Arguments and result as `round_linf`; `images` lie in the ball, up to float32.
    """
    change = images * 255 - levels
    nearest = torch.round(images * 255) - levels
    fits = _squares(nearest) <= budget
    if images.device.type == "cpu" and bool(fits.all()):  # on an accelerator the question would cost a synchronisation
        return nearest + levels
    size = change.abs() * _INWARD
    low, high = torch.zeros_like(budget, dtype=torch.float32), torch.full_like(budget, 0.5, dtype=torch.float32)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds = _squares(torch.floor(size + per_row(middle, size))) <= budget
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    kept = torch.floor(size + per_row(low, size))
    kept = kept + _affordable(kept, torch.floor(size + per_row(high, size)), budget - _squares(kept))
    return torch.where(per_row(fits, images), nearest, kept.copysign(change)) + levels


def _affordable(kept: Tensor, wished: Tensor, left: Tensor) -> Tensor:
    """1 for each value that may grow by a level, first come first served within what is left of the budget."""
    cost = ((wished - kept) * (2 * kept + 1)).flatten(1).double()
    granted = (cost > 0) & (cost.cumsum(dim=1) <= left[:, None])
    return granted.view_as(kept).to(kept.dtype)


def _squares(change: Tensor) -> Tensor:
    # Sums of squared levels pass 2^24 on photographs, where float32 stops counting.
    return change.flatten(1).square().sum(dim=1, dtype=torch.float64)


def within(pixels: Tensor, clean: Tensor, budget: Tensor, norm: str) -> Tensor:
    """Whether uint8 rows keep their budget, bool (N,), counted in integers. `norm`: Linf or L2."""
    change = (pixels.to(torch.int64) - clean.to(torch.int64)).flatten(1)
    spent = change.abs().amax(dim=1) if norm == "Linf" else change.square().sum(dim=1)
    return spent <= budget


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Values (N,) shaped (N, 1, ..., 1) to broadcast over the rows of `like`."""
    return values.view(-1, *[1] * (like.dim() - 1))
