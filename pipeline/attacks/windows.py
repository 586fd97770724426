"""Squares of random place and sign, for the square attack: which values of an image they cover, row by row."""

from __future__ import annotations

import torch
from torch import Tensor

_BITS = 32  # of a random word


def words_for(signs: int) -> int:
    """Number of random words that hold so many signs."""
    return -(-signs // _BITS)


def signs(words: Tensor, count: int) -> Tensor:
    """-1 or 1 for each of the first `count` bits of words int64 (S, K): float32 (S, count)."""
    places = torch.arange(_BITS, device=words.device)
    bits = (words[..., None] >> places & 1).flatten(1)[:, :count]
    return bits.float().mul_(2).sub_(1)


def offsets(word: Tensor, side: Tensor, length: int) -> Tensor:
    """Place of each of `length` values in a stretch of `side` that `word` puts among them: int64 (S, length).

    Below 0 before it, `side` and more behind it. `word` and `side`: int64 (S,).
    """
    first = (word * (length - side + 1)) >> _BITS
    return torch.arange(length, device=word.device) - first[:, None]


def inside(place: Tensor, side: Tensor) -> Tensor:
    """Whether offsets (S, length) lie in their stretch: 1 or 0, float32."""
    return ((place >= 0) & (place < side[:, None])).float()


def area(rows: Tensor, columns: Tensor) -> Tensor:
    """Images (S, 1, H, W) of the products of rows (S, H) and columns (S, W)."""
    return rows[:, None, :, None] * columns[:, None, None]
