"""The 8-bit grid: what an image becomes when it is stored, without ever leaving its budget.

Budgets are whole numbers here. Linf: 8-bit levels that fit in eps. L2: largest sum of squared level changes.
L1: largest sum of level changes. L0: number of pixels that change, in any channel.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.schemas.job.quantities import LEVEL_SLACK
from hardset.schemas.norms import Norm

_HALVINGS = 10  # of the rounding threshold: finds it to 1/2048 of a level
_INWARD = 1.0 - 1e-5  # float32 leaves ||x - clean|| within 1e-6 of the radius; rounding must start from inside


def linf_budget(eps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole 8-bit levels in budgets on the [0, 1] scale; agrees with `schemas.job.quantities.whole_levels`."""
    return (eps * 255 + LEVEL_SLACK).astype(np.int64)


def l2_budget(eps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Largest whole sum of squared level changes within L2 budgets on the [0, 1] scale."""
    return ((eps * 255) ** 2 + LEVEL_SLACK).astype(np.int64)


def l1_budget(eps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Largest whole sum of level changes within L1 budgets on the [0, 1] scale."""
    return linf_budget(eps)


def l0_budget(eps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole pixels in L0 budgets; agrees with `schemas.job.quantities.whole_pixels`."""
    return (eps + LEVEL_SLACK).astype(np.int64)


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
    size = change.abs().mul_(_INWARD)
    low, high = torch.zeros_like(budget, dtype=torch.float32), torch.full_like(budget, 0.5, dtype=torch.float32)
    kept = torch.empty_like(size)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds = _squares(torch.add(size, per_row(middle, size), out=kept).floor_()) <= budget
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    torch.add(size, per_row(low, size), out=kept).floor_()
    more = torch.floor(size + per_row(high, size)) - kept
    kept = kept + _affordable(more * (2 * kept + 1), budget - _squares(kept))
    return torch.where(per_row(fits, images), nearest, kept.copysign_(change)) + levels


def round_l1(images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
    """Nearest levels, rounded towards the clean ones as far as the sum of changes demands.

    Every level costs the same, so the values with the largest fractions keep theirs, to 1/2048 of a level and then in
    order of position: of the images in the budget this is the nearest. Arguments and result as `round_linf`; images
    out of the ball are scaled into it first.
    """
    change = images * 255 - levels
    nearest = torch.round(images * 255) - levels
    fits = _total(nearest.abs(), 255) <= budget
    if images.device.type == "cpu" and bool(fits.all()):  # on an accelerator the question would cost a synchronisation
        return nearest.add_(levels)
    size = change.abs()
    whole = torch.floor(size)
    out = _total(whole, 255) > budget
    size.mul_(per_row(torch.where(out, budget / safe(row_sum(size)) * _INWARD, 1).float(), size))
    torch.floor(size, out=whole)
    left = budget - _total(whole, 255)
    fraction = size.sub_(whole)
    low, high = torch.full_like(budget, 0.5, dtype=torch.float32), torch.ones_like(budget, dtype=torch.float32)
    up = torch.empty_like(fraction)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds = row_sum(torch.ge(fraction, per_row(middle, fraction), out=up)) <= left
        low, high = torch.where(holds, low, middle), torch.where(holds, middle, high)
    torch.ge(fraction, per_row(high, fraction), out=up)
    wished = torch.ge(fraction, per_row(low, fraction)).to(up.dtype).sub_(up)
    whole += up + _affordable(wished, left - row_sum(up))
    return torch.where(per_row(fits, images), nearest, whole.copysign_(change)) + levels


def round_l0(images: Tensor, levels: Tensor, budget: Tensor) -> Tensor:
    """Nearest levels for the `budget` (N,) pixels whose levels change most, the clean ones for all others.

    Arguments and result as `round_linf`, of images (N, C, H, W).
    """
    nearest = torch.round(images * 255).clamp_(0, 255)
    return torch.where(most_changed(nearest - levels, budget), nearest, levels)


def most_changed(change: Tensor, count: Tensor) -> Tensor:
    """Mask, bool (N, 1, H, W), of the `count` (N,) pixels of `change` (N, C, H, W) with the largest squares, summed
    over channels."""
    return top_pixels(change.square().sum(dim=1, keepdim=True), count)


def top_pixels(score: Tensor, count: Tensor) -> Tensor:
    """Mask, bool (N, 1, H, W), of the `count` (N,) pixels of largest score (N, 1, H, W).

    Among equals the first in order of position.
    """
    size = score.flatten(1)
    rank = size.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (rank < count[:, None]).view(score.shape)


def pixels_of(change: Tensor) -> Tensor:
    """Number of pixels of each row of (N, C, H, W) that are not 0 in some channel, int64 (N,)."""
    return (change != 0).any(dim=1).flatten(1).sum(dim=1)


def _affordable(cost: Tensor, left: Tensor) -> Tensor:
    """1 for each value whose cost can be paid, first come first served within what is left; 0 where there is none."""
    costs = cost.flatten(1).long()  # whole numbers; CUDA adds up integers in a fixed order, and floats not
    granted = (costs > 0) & (costs.cumsum(dim=1) <= left[:, None])
    return granted.view(cost.shape).to(cost.dtype)


def _squares(change: Tensor) -> Tensor:
    return _total(change.square(), 255**2)


def _total(whole: Tensor, most: int) -> Tensor:
    """Sum over each row of whole numbers up to `most`, counted exactly, float64 (N,)."""
    # Sums pass 2^24 on photographs, where float32 stops counting; those of single lines do not. A sum in float64 over
    # everything first copies it: five times as long.
    if whole.dim() > 2 and whole.shape[-1] * most <= 2**24:
        whole = whole.sum(dim=-1)
    return whole.sum(dim=tuple(range(1, whole.dim())), dtype=torch.float64)


def within(pixels: Tensor, clean: Tensor, budget: Tensor, norm: Norm) -> Tensor:
    """Whether uint8 rows keep their budget, bool (N,), counted in integers."""
    if norm == "l0":
        return pixels_of(pixels.to(torch.int16) - clean.to(torch.int16)) <= budget
    change = (pixels.to(torch.int64) - clean.to(torch.int64)).flatten(1).abs()
    if norm == "linf":
        return change.amax(dim=1) <= budget
    return (change if norm == "l1" else change.square()).sum(dim=1) <= budget


def spent(change: Tensor, norm: Norm) -> Tensor:
    """What changes in whole levels, float32 (N, ...), cost in the units of budgets, counted exactly, (N,)."""
    if norm == "linf":
        return largest(change)
    if norm == "l0":
        return pixels_of(change)
    return _total(change.abs(), 255) if norm == "l1" else _squares(change)


def row_sum(values: Tensor) -> Tensor:
    """Sum over each row of (N, ...), (N,)."""
    return values.sum(dim=tuple(range(1, values.dim())))


def safe(divisor: Tensor) -> Tensor:
    """1 in place of what cannot be divided by."""
    return torch.where(divisor > 0, divisor, 1)


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Values (N,) shaped (N, 1, ..., 1) to broadcast over the rows of `like`."""
    return values.view(-1, *[1] * (like.dim() - 1))


def largest(change: Tensor) -> Tensor:
    """Largest absolute value of each row, (N,)."""
    return change.abs().flatten(1).amax(dim=1)


def finite_part(values: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 values (N, ...) with 0 for NaN and infinity, and how many of those each row has, int64 (N,).

    What is finite keeps its bits. An infinite component says which way the loss rises, but in any norm other than Linf
    it would leave nothing of a step to all others, and where slopes are infinite they say nothing of a finite step.
    """
    # Comparing floats takes a fifth of the time of torch.isfinite and a sum of booleans on a CPU (torch 2.13).
    known = values.abs().le_(torch.finfo(values.dtype).max)
    lost = values[0].numel() - row_sum(known).to(torch.int64)
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), lost


def overwrite(rows: Tensor, values: Tensor, where: Tensor) -> None:
    """Writes `values` (N, ...) into `rows` (N, ...), in place, for the rows where the bool (N,) is true."""
    if rows.device.type != "cpu":  # the question below would cost a synchronisation
        torch.where(per_row(where, rows), values, rows, out=rows)
        return
    # With a mask per row, torch.where takes 252 us on (128, 3, 32, 32); copying the rows takes 40.
    index = where.nonzero().squeeze(1)
    if len(index) == len(rows):
        rows.copy_(values)
    elif len(index):
        rows.index_copy_(0, index, values.index_select(0, index).to(rows.dtype))
