"""Row-keyed randomness: the Philox4x32-10 counter generator, vectorised on any device.

A value is a pure function of (row seed, draw, restart, step, position), so it does not depend on batch, order, worker
or time. Philox is from Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD, _HALF = np.uint64(_MASK), np.uint64(32)
_FACTORS = tuple(map(np.uint64, _MULTIPLIERS))
_STEPS = tuple(map(np.uint64, _KEY_STEPS))


class Draw(IntEnum):
    """What a random value is for; every use has a stream of its own."""

    START_NOISE = 0
    EPS = 1
    STEP_SIZE = 2
    TARGET = 3
    LATENT = 4
    SQUARE = 5
    INPUT_DIVERSITY = 6
    START_RADIUS = 7
    REGION = 8
    CORRUPTION = 9
    TRAINING = 10
    TRY = 11
    AUGMENT = 1 << 16
    """First of the augmentation streams: operation i takes 64 from AUGMENT + 64 * i."""


def philox(counter: Tensor, key: Tensor) -> Tensor:
    """Ten rounds of Philox4x32. `counter`: int64 (..., 4), `key`: int64 (..., 2), both holding 32-bit words.

    Returns int64 (..., 4) of words in [0, 2^32). int64 arithmetic wraps, so its low 64 bits are those of the
    unsigned product.
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key.unbind(-1)
    for _ in range(_ROUNDS):
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (right >> 32) & _MASK ^ c1 ^ k0,
            right & _MASK,
            (left >> 32) & _MASK ^ c3 ^ k1,
            left & _MASK,
        )
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK, (k1 + _KEY_STEPS[1]) & _MASK
    return torch.stack((c0, c1, c2, c3), dim=-1)


def words(seeds: Tensor, draw: int, count: int, restart: Tensor | int = 0, step: Tensor | int = 0) -> Tensor:
    """`count` random 32-bit words per row: int64 (N, count), from seeds int64 (N,), restarts and steps int or (N,)."""
    rows, blocks = seeds.shape[0], -(-count // 4)
    counter = torch.zeros(rows, blocks, 4, dtype=torch.int64, device=seeds.device)
    counter[..., 0] = torch.arange(blocks, device=seeds.device)
    counter[..., 1] = draw
    counter[..., 2] = _column(restart)
    counter[..., 3] = _column(step)
    key = torch.stack((seeds & _MASK, (seeds >> 32) & _MASK), dim=-1)[:, None]
    return philox(counter, key.expand(rows, blocks, 2)).reshape(rows, -1)[:, :count]


def words_on_cpu(seeds: Tensor, draw: int, count: int, restart: int = 0) -> Tensor:
    """As `words` for few rows on the CPU, in NumPy, whose calls on small arrays cost a tenth of torch's."""
    rows, blocks = seeds.shape[0], -(-count // 4)
    keys = seeds.numpy().astype(np.uint64)[:, None]
    k0, k1 = keys & _WORD, keys >> _HALF
    c0 = np.arange(blocks, dtype=np.uint64)[None]
    c1, c2, c3 = (np.full((1, 1), value, np.uint64) for value in (draw, restart, 0))
    for _ in range(_ROUNDS):
        left, right = c0 * _FACTORS[0], c2 * _FACTORS[1]
        c0, c1, c2, c3 = (right >> _HALF) ^ c1 ^ k0, right & _WORD, (left >> _HALF) ^ c3 ^ k1, left & _WORD
        k0, k1 = (k0 + _STEPS[0]) & _WORD, (k1 + _STEPS[1]) & _WORD
    found = np.stack([np.broadcast_to(one, (rows, blocks)) for one in (c0, c1, c2, c3)], axis=-1)
    return torch.from_numpy(found.reshape(rows, 4 * blocks)[:, :count].astype(np.int64))


def uniform(
    seeds: Tensor,
    draw: int,
    shape: tuple[int, ...] = (),
    restart: Tensor | int = 0,
    dtype: torch.dtype = torch.float32,
    step: Tensor | int = 0,
) -> Tensor:
    """Uniform values in [0, 1): (N, *shape), 24 random bits for float32 and 32 for float64."""
    bits = words(seeds, draw, math.prod(shape), restart, step)
    values = bits.to(torch.float64) * 2.0**-32 if dtype == torch.float64 else (bits >> 8).to(torch.float32) * 2.0**-24
    return values.reshape(seeds.shape[0], *shape).to(dtype)


def normal(
    seeds: Tensor, draw: int, shape: tuple[int, ...] = (), restart: Tensor | int = 0, step: Tensor | int = 0
) -> Tensor:
    """Standard normal values, float32 (N, *shape), by the Box-Muller transform."""
    count = math.prod(shape)
    pairs = words(seeds, draw, 2 * count, restart, step).to(torch.float32).reshape(seeds.shape[0], count, 2)
    radius = torch.sqrt(-2.0 * torch.log((pairs[..., 0] + 1.0) * 2.0**-32).clamp(max=0.0))
    return (radius * torch.cos(pairs[..., 1] * (2.0**-32 * 2.0 * math.pi))).reshape(seeds.shape[0], *shape)


def integers(
    seeds: Tensor, draw: int, high: int, shape: tuple[int, ...] = (), restart: Tensor | int = 0, step: Tensor | int = 0
) -> Tensor:
    """Integers in [0, high), int64 (N, *shape), high <= 2^31 (bias below high / 2^32)."""
    bits = words(seeds, draw, math.prod(shape), restart, step)
    return ((bits * high) >> 32).reshape(seeds.shape[0], *shape)


def _column(values: Tensor | int) -> Tensor | int:
    return values[:, None] if isinstance(values, Tensor) and values.dim() else values
