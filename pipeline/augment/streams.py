"""The random streams of one operation: values that depend on row seed, position in the list and use alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.compute import rng

_PER_OPERATION = 64  # streams that each position owns: 0 decides whether to apply, 32 and up are for noise
_NOISE = 32


@dataclass(frozen=True)
class Stream:
    """Random values for the operation at `position` of the list, for rows with `seeds`, int64 (N,)."""

    seeds: Tensor
    position: int

    def chance(self) -> Tensor:
        """Uniform in [0, 1), float64 (N,): decides whether the operation applies."""
        return rng.uniform(self.seeds, self._draw(0), dtype=torch.float64)

    def uniform(self, parameter: int) -> Tensor:
        """Uniform in [0, 1), float64 (N,), of 32 random bits. `parameter`: 0 to 30."""
        return rng.uniform(self.seeds, self._draw(1 + parameter), dtype=torch.float64)

    def integers(self, parameter: int, high: int) -> Tensor:
        """Integers in [0, high), int64 (N,). `parameter`: 0 to 30."""
        return rng.integers(self.seeds, self._draw(1 + parameter), high)

    def normal(self, noise: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal, float32 (N, *shape). `noise`: 0 to 31."""
        return rng.normal(self.seeds, self._draw(_NOISE + noise), shape)

    def where(self, rows: Tensor) -> Stream:
        """The streams of some of the rows."""
        return Stream(self.seeds[rows], self.position)

    def _draw(self, number: int) -> int:
        return rng.Draw.AUGMENT + _PER_OPERATION * self.position + number
