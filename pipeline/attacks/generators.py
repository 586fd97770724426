"""Global random generators, lent to code that draws from them: seeded, and put back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.random import bit_generator
from numpy.typing import NDArray

from hardset.schemas.digests import digest

_ENTROPY = "randbits"
"""What NumPy asks for entropy where a generator is made without a seed, as ART's HopSkipJump makes one."""


def seed_of(seeds: NDArray[np.int64]) -> int:
    """One seed of 31 bits for all rows of a call, from their own seeds."""
    return int(digest(seeds.reshape(-1).tolist())[:8], 16) >> 1


@contextmanager
def own_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds the global generators of random, numpy and torch, and those that NumPy makes without a seed meanwhile.

    All states are put back afterwards, also after an exception.
    """
    module: Any = bit_generator
    python, numpy, entropy = random.getstate(), np.random.get_state(), getattr(module, _ENTROPY, None)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            if entropy is not None:
                setattr(module, _ENTROPY, random.Random(seed).getrandbits)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if entropy is not None:
            setattr(module, _ENTROPY, entropy)
