"""The smallest change within the box [0, 1] that moves a point onto a hyperplane, in each norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from hardset.pipeline.attacks.grid import per_row, row_sum, safe
from hardset.schemas.norms import Norm

_HALVINGS = 30  # of the bracket around the length of the change: 2^-30 of the longest


def onto_hyperplane(points: Tensor, normal: Tensor, gain: Tensor, norm: Norm) -> Tensor:
    """The smallest change d, float32 (N, ...), with `normal` * d = `gain` and 0 <= points + d <= 1.

    `points`, `normal`: float32 (N, ...); `gain`: (N,). Where the box holds no such change: the one that comes nearest.
    """
    sign = per_row(torch.where(gain >= 0, 1.0, -1.0), normal)
    # Scaled, so that squares of small gradients keep their bits.
    scale = safe(normal.abs().flatten(1).amax(dim=1))
    uphill = normal * sign / per_row(scale, normal)
    wanted = gain.abs() / scale
    room = torch.where(uphill > 0, 1 - points, points)
    size = _SIZES[norm](uphill.abs(), room, wanted)
    return size * uphill.sign()


def _euclidean(slope: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """Sizes min(t * slope, room): a multiple of the slope, cut to the box."""
    # Beyond this t every value that has a slope is at the border.
    most = (room / safe(slope) * (slope > 0)).flatten(1).amax(dim=1)
    return _found(lambda t: torch.minimum(per_row(t, slope) * slope, room), slope, most, wanted)


def _largest(slope: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """Sizes min(t, room) of the values that have a slope: all the same, cut to the box."""
    room = torch.where(slope > 0, room, 0)
    return _found(lambda t: room.clamp(max=per_row(t, room)), slope, room.flatten(1).amax(dim=1), wanted)


def _total(slope: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """The values with the steepest slopes go all the way, those on the threshold a part of it."""
    low, high = torch.zeros_like(wanted), slope.flatten(1).amax(dim=1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = row_sum(torch.where(slope > per_row(middle, slope), slope * room, 0)) >= wanted
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    above = torch.where(slope > per_row(high, slope), room, 0)
    edge = torch.where((slope > per_row(low, slope)) & (slope <= per_row(high, slope)), room, 0)
    left = wanted - row_sum(above * slope)
    part = (left / safe(row_sum(edge * slope))).clamp(0, 1)
    return above + edge * per_row(part, edge)


def _found(sizes: Callable[[Tensor], Tensor], slope: Tensor, most: Tensor, wanted: Tensor) -> Tensor:
    """The sizes at the least t whose gain is the one wanted; at `most` where none is."""
    low, high = torch.zeros_like(most), most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = row_sum(sizes(middle) * slope) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return sizes(high)


_SIZES: Mapping[Norm, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {"linf": _largest, "l2": _euclidean, "l1": _total}
)
