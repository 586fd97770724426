"""What every part of the check is told, and how a part is put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Record = dict[str, Any]
"""Plain values, as the JSON holds them."""
T = TypeVar("T")
ASKED = {"all_steps": 4.0, "first_success": 20.0, "of_bare_loop": 0.9, "training": 3.0}
"""Targets: times torchattacks in float32 at 224 px, all steps and to first success; share of the bare loop in the same
mode; times adversarial training with torchattacks."""


@dataclass(frozen=True)
class Setting:
    """Where, how much, and until when."""

    device: torch.device
    tiny: bool
    """Small networks and few rows: shows that everything runs; the figures mean nothing."""
    deadline: float = float("inf")
    """Moment of `time.perf_counter` at which the part is cut off."""

    def size(self, normal: T, tiny: T) -> T:
        """`normal`, or `tiny` in a tiny trial."""
        return tiny if self.tiny else normal

    def left(self) -> float:
        """Seconds until the part is cut off."""
        return self.deadline - time.perf_counter()

    def settle(self) -> None:
        """Waits until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


Line = Callable[[], Record]


@dataclass(frozen=True)
class Part:
    """One part of the check: lines in order of weight, as the last ones are left out where time is short."""

    name: str
    title: str
    seconds: float
    """Time budget on one card."""
    lines: Callable[[Setting], Mapping[str, Line]]
