"""Contract of an augmentation operation: settings, a draw of parameters for each row, and their application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hardset.pipeline.augment.streams import Stream
from hardset.schemas.job.operations.base import OperationSettings

Parameters = Mapping[str, Tensor]
"""Drawn values by name: one scalar per row, (N,), bool, int64 or float64, so that JSON holds them exactly."""


@dataclass(frozen=True)
class Operation:
    """One augmentation. Whether it applies to a row is drawn and handled outside (`applied`)."""

    settings: type[OperationSettings]
    """Class of its settings; the docstring says what the operation does."""
    draw: Callable[[Any, Stream], Parameters]
    """(settings, random stream of the rows) -> parameters of each row."""
    apply: Callable[[Tensor, Parameters, Stream], Tensor]
    """(images, their parameters, random stream) -> images of the same shape. Images are float32 (N, C, H, W) in [0, 1].

    Each row depends on its own pixels and parameters alone. The result may leave [0, 1]. The stream is for noise, which
    is too large to be stored as a parameter.
    """


def nothing(spec: object, stream: Stream) -> Parameters:
    """Draws nothing, for operations that have no parameters."""
    return {}
