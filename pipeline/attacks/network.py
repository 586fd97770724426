"""The model as the search runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """A model made ready for the search."""

    forward: Callable[[Tensor], Tensor]
    """Float32 images (S, C, H, W) in [0, 1] to float32 logits (S, K), differentiable to the images."""
    exact: bool
    """Whether it is the very module that judges, so that its verdicts need no confirmation."""
    note: str
    """How it runs."""


def search_network(
    module: nn.Module, *, precision: Literal["float32", "bfloat16"], compile: bool, device: torch.device
) -> Network:
    """The module as the search runs it."""

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            logits: Tensor = module(images)
        return logits.float()

    return Network(forward, exact=precision == "float32", note=precision)
