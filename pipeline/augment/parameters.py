"""Drawn parameters and the JSON of the `params` column, which alone is enough to make a row again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.streams import Stream
from hardset.pipeline.augment.table import operation
from hardset.schemas.errors import JobError
from hardset.schemas.job.operations.base import OperationSettings


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


def listed(values: Tensor | Sequence[Any]) -> list[Any]:
    """Drawn values as JSON holds them."""
    return values.tolist() if isinstance(values, Tensor) else list(values)


def draw(specs: Sequence[OperationSettings], seeds: Tensor) -> tuple[Step, ...]:
    """Steps for rows with `seeds`, int64 (N,), in the order of `specs`, which are settled. Raises JobError."""
    return tuple(drawn_step(spec, Stream(seeds, position)) for position, spec in enumerate(specs))


def drawn_step(spec: OperationSettings, stream: Stream) -> Step:
    """One operation with what is drawn from `stream`. Raises JobError where it draws what it may not."""
    found = operation(spec.name)
    drawn = found.draw(spec, stream)
    for name, values in drawn.items():
        fits = isinstance(values, Tensor) and values.shape == stream.seeds.shape
        if not fits and not (isinstance(found, LevelOperation) and len(values) == len(stream.seeds)):
            raise JobError(
                f"ops.{stream.position}: {spec.name} draws {shown(values)} for {name}; wants one value per row"
            )
    always = torch.ones(stream.seeds.shape, dtype=torch.bool, device=stream.seeds.device)
    return Step(spec.name, always if spec.p == 1 else stream.chance() < spec.p, drawn)


def shown(value: object) -> str:
    """What came where something else was wanted."""
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def to_json(steps: Sequence[Step], rows: int) -> list[str]:
    """Compact JSON per row: a list with name, applied and, where applied, the parameters in full precision."""
    lists: list[list[dict[str, object]]] = [[] for _ in range(rows)]
    for step in steps:
        for row, drawn in enumerate(step.rows()):
            lists[row].append({"name": step.name, "applied": drawn is not None, **(drawn or {})})
    return [json.dumps(one, separators=(",", ":")) for one in lists]


def from_json(text: str) -> tuple[Step, ...]:
    """The steps of one row. Inverse of `to_json`."""
    return tuple(
        Step(
            entry["name"],
            torch.tensor([entry["applied"]]),
            {name: _column(value) for name, value in entry.items() if name not in ("name", "applied")},
        )
        for entry in json.loads(text)
    )


def _column(value: Any) -> Tensor | list[Any]:
    if isinstance(value, bool | int | float):
        return torch.tensor([value], dtype=torch.float64 if isinstance(value, float) else None)
    return [value]
