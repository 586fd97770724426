"""The random streams of one operation: values that depend on row seed, position in the list and use alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.compute import rng
from hardset.schemas.job.operations.amounts import WholeInterval
from hardset.schemas.job.quantities import Interval

_PER_OPERATION = 64  # streams that each position owns: 0 decides whether to apply, 32 and up are for noise
_NOISE = 32
_BITS = 16
_UNIT = 2.0**-32
_NOUGHT = (0, 0, 0, 0)  # a state is read number by number, which takes half as long from a tuple as from an array
_FRESH: dict[str, Any] = {"bit_generator": "Philox", "buffer": _NOUGHT, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}


@dataclass(frozen=True)
class Stream:
    """Random values for the operation at `position` of the list, for rows with `seeds`, int64 (N,)."""

    seeds: Tensor
    position: int
    branch: int = 0
    """Place inside a policy at that position, from 1; 0 is the operation of the list itself."""

    def chance(self) -> Tensor:
        """Uniform in [0, 1), float64 (N,): decides whether the operation applies."""
        return self._words(0, 1)[:, 0].to(torch.float64) * _UNIT

    def uniform(self, parameter: int) -> Tensor:
        """Uniform in [0, 1), float64 (N,), of 32 random bits. `parameter`: 0 to 30."""
        return self._words(1 + parameter, 1)[:, 0].to(torch.float64) * _UNIT

    def uniforms(self, parameter: int, count: int) -> Tensor:
        """Uniform in [0, 1), float64 (N, count), of 32 random bits. `parameter`: 0 to 30."""
        return self._words(1 + parameter, count).to(torch.float64) * _UNIT

    def integers(self, parameter: int, high: int) -> Tensor:
        """Integers in [0, high), int64 (N,), high <= 2^31. `parameter`: 0 to 30."""
        return (self._words(1 + parameter, 1)[:, 0] * high) >> 32

    def normal(self, noise: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal, float32 (N, *shape). `noise`: 0 to 31."""
        return rng.normal(self.seeds, self._draw(_NOISE + noise), shape, restart=self.branch)

    def number(self, parameter: int, amount: Any) -> Tensor:
        """Numbers that an amount of the settings stands for, float64 (N,): the same, of a range, or of a list."""
        if isinstance(amount, Interval):
            low, high = float(amount.min), float(amount.max)
            return low + (high - low) * self.uniform(parameter)
        if isinstance(amount, tuple):
            values = torch.tensor([float(one) for one in amount], dtype=torch.float64, device=self.seeds.device)
            return values[self.integers(parameter, len(amount))]
        return torch.full(self.seeds.shape, float(amount), dtype=torch.float64, device=self.seeds.device)

    def whole(self, parameter: int, amount: Any) -> Tensor:
        """Whole numbers that an amount of the settings stands for, int64 (N,)."""
        if isinstance(amount, WholeInterval):
            return amount.min + self.integers(parameter, amount.max - amount.min + 1)
        if isinstance(amount, tuple):
            return torch.tensor(amount, device=self.seeds.device)[self.integers(parameter, len(amount))]
        return torch.full(self.seeds.shape, amount, dtype=torch.int64, device=self.seeds.device)

    def orders(self, parameter: int, of: int) -> Tensor:
        """Random orders of 0 to of - 1, int64 (N, of)."""
        return self.uniforms(parameter, of).argsort(dim=1, stable=True)

    def where(self, rows: Tensor) -> Stream:
        """The streams of some of the rows."""
        return Stream(self.seeds[rows], self.position, self.branch)

    def inside(self, place: int) -> Stream:
        """The streams of the operation at a place, from 0, inside this one, which is a policy."""
        return Stream(self.seeds, self.position, place + 1)

    def _words(self, number: int, count: int) -> Tensor:
        """Random words of 32 bits, int64 (N, count): the same on every device."""
        if self.seeds.device.type == "cpu":
            return rng.words_on_cpu(self.seeds, self._draw(number), count, self.branch)
        return rng.words(self.seeds, self._draw(number), count, self.branch)

    def _draw(self, number: int) -> int:
        return rng.Draw.AUGMENT + _PER_OPERATION * self.position + number


class RowStream(NamedTuple):
    """Noise for one row, from NumPy's Philox generator, whose key is row seed, position, place and use."""

    seed: int
    position: int
    branch: int = 0
    engine: np.random.Philox | None = None
    """Generator that may be set to any state: making one for each use takes ten times as long as setting one."""

    def generator(self, use: int = 0) -> np.random.Generator:
        """A generator of its own for each use, from 0 to 63."""
        place = (self.branch << 32) | (_PER_OPERATION * self.position + use)
        return np.random.Generator(np.random.Philox(key=np.array([self.seed, place], np.uint64)))

    def words(self, count: int, use: int = 0) -> NDArray[np.uint16]:
        """Even random numbers of 16 bits, uint16 (count,)."""
        place = (self.branch << 32) | (_PER_OPERATION * self.position + use)
        if self.engine is None:
            engine = np.random.Philox(key=np.array([self.seed, place], np.uint64))
        else:
            engine, state = self.engine, {**_FRESH, "state": {"counter": _NOUGHT, "key": (self.seed, place)}}
            engine.state = state  # type: ignore[assignment]  # declared with arrays alone
        words: NDArray[np.uint16] = engine.random_raw(-(-count // 4)).astype("<u8", copy=False).view("<u2")[:count]
        return words

    def normal(self, shape: Sequence[int], use: int = 0) -> NDArray[np.float32]:
        """Standard normal values, float32: quantiles of 16-bit numbers, within 4.2 standard deviations."""
        values: NDArray[np.float32] = normal_table().take(self.words(math.prod(shape), use)).reshape(shape)
        return values

    def uniform(self, shape: Sequence[int], use: int = 0) -> NDArray[np.float32]:
        """Even values in (0, 1), float32, of 16 bits."""
        values = self.words(math.prod(shape), use).astype(np.float32)
        return ((values + np.float32(0.5)) / np.float32(1 << _BITS)).reshape(shape)

    def inside(self, place: int) -> RowStream:
        """The stream of the operation at a place, from 0, inside this one, which is a policy."""
        return RowStream(self.seed, self.position, place + 1, self.engine)


@cache
def normal_table() -> NDArray[np.float32]:
    """Standard normal quantiles at the middles of 65,536 intervals of equal probability, float32."""
    middles = (torch.arange(1 << _BITS, dtype=torch.float64) + 0.5) / (1 << _BITS)
    table = np.array(torch.special.ndtri(middles).tolist(), np.float32)
    table.flags.writeable = False
    return table
