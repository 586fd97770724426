"""Proposals of the square attack in L2: a small bump paid for by two windows of the change so far.

Andriushchenko et al. 2020, section 3.3 and algorithm 3.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hardset.pipeline.attacks import windows
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.schedules import Pass
from hardset.pipeline.compute.transfers import sent

_TILES = 5  # along the shorter side of the first proposal
_SMALLEST = 3  # side of a bump with two halves


def tile_counts(height: int, width: int) -> tuple[int, int]:
    """Number of bumps of the first proposal along each side."""
    side = _tile_side(height, width)
    return height // side, width // side


def words_for(channels: int) -> int:
    """Number of random words of one proposal: two places of two coordinates, signs, and a bump's direction."""
    return 4 + windows.words_for(channels + 1)


def proposed(seen: Pass, best: Tensor, tiles: Tensor, words: Tensor, side: Tensor) -> Tensor:
    """The best point with a bump of drawn place and sign in one window, nothing in another, and the length of eps.

    `tiles`: signs (S, C, tile rows, tile columns) of the first proposal, which is bumps all over; `words`: int64
    (S, `words_for`); `side`: of the windows, int64 (S,), made odd here.
    """
    channels, height, width = best.shape[1:]
    first = seen.step == 0
    side = (side.clamp(min=_SMALLEST) | 1).clamp(max=min(height, width))
    signs = windows.signs(words[:, 4:], channels + 1)
    rows, columns = windows.offsets(words[:, 0], side, height), windows.offsets(words[:, 1], side, width)
    other = _window(windows.offsets(words[:, 2], side, height), windows.offsets(words[:, 3], side, width), side)
    window = _window(rows, columns, side)
    tile = _tile_side(height, width)
    (tile_rows, row), (tile_columns, column) = (_tiling(length, tile, best.device) for length in (height, width))
    rows = torch.where(first[:, None], tile_rows, rows)
    columns = torch.where(first[:, None], tile_columns, columns)
    bump = bumps(rows, columns, torch.where(first, tile, side), signs[:, channels] > 0)
    spread = bump * tiles.index_select(2, row).index_select(3, column)
    moved = _exchanged(seen, best - seen.clean, bump * signs[:, :channels, None, None], window, other)
    moved = torch.lerp(moved, spread, per_row(first.float(), best)).mul_(seen.mask)
    length = torch.linalg.vector_norm(moved.flatten(1), dim=1)
    return torch.addcmul(seen.clean, moved, per_row(seen.radius / _safe(length), best)).clamp_(0, 1)


def _exchanged(seen: Pass, change: Tensor, bump: Tensor, window: Tensor, other: Tensor) -> Tensor:
    """The change without what it has in both windows, whose mass goes into the bump, with all that is unspent."""
    paid = torch.maximum(window, other)
    held = (change.square() * paid).sum(dim=(2, 3), keepdim=True)
    spent = change.flatten(1).square().sum(dim=1)
    unspent = (seen.radius.square() - spent).clamp(min=0) / change.shape[1]
    before = change * window
    fresh = (bump + before / _lengths(before)) * seen.mask
    fresh = fresh * ((held + per_row(unspent, held)).sqrt() / _lengths(fresh))
    return change * (1 - paid) + fresh


def bumps(rows: Tensor, columns: Tensor, side: Tensor, lies: Tensor) -> Tensor:
    """Two pyramids side by side, one of them upside down, of length 1 each over sqrt(2): float32 (S, 1, H, W).

    They fill the window at which the offsets `rows` (S, H) and `columns` (S, W) lie within `side` (S,). They meet
    across the rows, or across the columns where one lies, `lies` bool (S,).
    """
    lies, middle = lies[:, None], (side // 2)[:, None]
    down = torch.where(lies, (rows - middle).abs(), _to_peak(rows, side))
    along = torch.where(lies, _to_peak(columns, side), (columns - middle).abs())
    longest = max(rows.shape[1], columns.shape[1])
    # Summed on the host: sums of floats on CUDA have no fixed order.
    sums = sent(F.pad(torch.arange(1, longest + 2).float().pow(-2).cumsum(0), (1, 0)), rows.device)

    def heights(distance: Tensor) -> Tensor:
        return sums[middle + 1] - sums[distance.minimum(middle + 1)]

    # Rectangles around a middle: a value is as high as the lower of its row and its column.
    by_row, by_column = heights(down) * windows.inside(rows, side), heights(along) * windows.inside(columns, side)
    pair = torch.minimum(by_row[:, None, :, None], by_column[:, None, None])
    upper = windows.area((lies | (rows < middle)).float(), (~lies | (columns < middle)).float())
    upright, upended = pair * upper, pair * (1 - upper)
    return (upright / _lengths(upright)).sub_(upended / _lengths(upended)).mul_(math.sqrt(0.5))


def _to_peak(place: Tensor, side: Tensor) -> Tensor:
    """Distance of offsets (S, L) from the middle of the half of the window that they lie in."""
    middle = (side // 2)[:, None]
    upper, lower = middle // 2, middle + (side[:, None] - middle) // 2
    return (place - torch.where(place < middle, upper, lower)).abs()


def _tiling(length: int, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Offset of each value in its tile, -1 in the margins, and number of its tile: int64 (length,) each."""
    count = length // side
    place = torch.arange(length, device=device) - (length - count * side) // 2
    within = (place >= 0) & (place < count * side)
    return torch.where(within, place % side, -1), (place // side).clamp(0, count - 1)


def _tile_side(height: int, width: int) -> int:
    return max(min(height, width) // _TILES, 1)


def _window(rows: Tensor, columns: Tensor, side: Tensor) -> Tensor:
    return windows.area(windows.inside(rows, side), windows.inside(columns, side))


def _lengths(images: Tensor) -> Tensor:
    """Euclidean lengths of channels, (S, C, 1, 1); 1 where they are 0."""
    return _safe(images.square().sum(dim=(2, 3), keepdim=True).sqrt())


def _safe(divisor: Tensor) -> Tensor:
    return torch.where(divisor > 0, divisor, 1)
