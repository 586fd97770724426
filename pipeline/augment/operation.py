"""Contracts of an augmentation: settings, a draw of parameters for each row, and their application to the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.base import OperationSettings

Parameters = Mapping[str, Tensor]
"""Drawn values by name: one scalar per row, (N,), bool, int64 or float64, so that JSON holds them exactly."""
Columns: TypeAlias = Mapping[str, Tensor | Sequence[Any]]
"""Drawn values by name: one value per row, which JSON holds exactly."""
Drawn: TypeAlias = Mapping[str, Any]
"""Drawn values of one row by name."""


@dataclass(frozen=True)
class Operation:
    """One augmentation of tensors. Whether it applies to a row is drawn and handled outside (`applied`)."""

    settings: type[OperationSettings]
    """Class of its settings; the docstring says what the operation does."""
    draw: Callable[[Any, Stream], Parameters]
    """(settings, random stream of the rows) -> parameters of each row."""
    apply: Callable[[Tensor, Parameters, Stream], Tensor]
    """(images, their parameters, random stream) -> images of the same shape. Images are float32 (N, C, H, W) in [0, 1].

    Each row depends on its own pixels and parameters alone. The result may leave [0, 1]. The stream is for noise, which
    is too large to be stored as a parameter.
    """


@dataclass(frozen=True)
class LevelOperation:
    """One augmentation of 8-bit images, row by row: faster than tensors on a CPU, and rounded once."""

    settings: type[OperationSettings]
    """Class of its settings; the docstring says what the operation does."""
    draw: Callable[[Any, Stream], Columns]
    """(settings, random stream of the rows) -> parameters of each row. Settings at their defaults may be left out."""
    change: Callable[[Pixels, Drawn, RowStream], Pixels]
    """(image, its parameters, random stream) -> image of the same shape, uint8 (H, W, C). The image that goes in is
    read only, and may come out as it is. The stream is for noise, which is too large to be stored as a parameter."""
    tensors: Callable[[Tensor, Parameters], Tensor] | None = None
    """(images (N, C, H, W) of any type, their parameters) -> images: the same values as `change`, on any device, for
    operations that only move values; None where there is no such form. Parameters that are no tensors, such as the
    fill of a crop, it is never given."""


AnyOperation: TypeAlias = Operation | LevelOperation


def nothing(spec: object, stream: Stream) -> Parameters:
    """Draws nothing, for operations that have no parameters."""
    return {}
