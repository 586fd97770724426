"""What is drawn of one operation for the rows of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.augment.inner import listed
from hardset.pipeline.augment.operation import Columns, Drawn


@dataclass(frozen=True)
class Step:
    """One operation of the list with what was drawn for each row."""

    name: str
    """Name of the operation, or its import path."""
    applied: Tensor
    """bool (N,)."""
    parameters: Columns

    def rows(self) -> list[Drawn | None]:
        """The parameters row by row; None where the operation does not apply."""
        columns = {name: listed(values) for name, values in self.parameters.items()}
        return [
            {name: column[row] for name, column in columns.items()} if applied else None
            for row, applied in enumerate(self.applied.tolist())
        ]

    def of(self, rows: Tensor) -> dict[str, Tensor]:
        """The parameters of some rows as tensors."""
        return {name: torch.as_tensor(values)[rows] for name, values in self.parameters.items()}
