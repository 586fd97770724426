"""What an augmentation operation is: its settings, what it draws for each row, and what it does with that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hardset.pipeline.augment.streams import Stream
from hardset.schemas.job.operations.base import OperationSettings

Parameters = Mapping[str, Tensor]
"""What was drawn, by name: one scalar per row, (N,), bool, int64 or float64, so that JSON holds it exactly."""


@dataclass(frozen=True)
class Operation:
    """One augmentation. Whether it applies to a row is drawn and handled outside (`applied`)."""

    settings: type[OperationSettings]
    """Its settings, whose docstring says what it does."""
    draw: Callable[[Any, Stream], Parameters]
    """Settings and the rows' random stream to each row's parameters."""
    apply: Callable[[Tensor, Parameters, Stream], Tensor]
    """Images in [0, 1], float32 (N, C, H, W), and their parameters to images of the same shape.

    Each row depends on its own pixels and parameters alone. The result may leave [0, 1]. The stream is for noise, which
    is too large to be stored as a parameter.
    """


def nothing(spec: object, stream: Stream) -> Parameters:
    """Draws nothing, for operations that have no parameters."""
    return {}
