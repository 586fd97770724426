"""Drawn parameters and the JSON of the `params` column, which alone is enough to make a row again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hardset.pipeline.augment.inner import draw_columns
from hardset.pipeline.augment.steps import Step
from hardset.pipeline.augment.streams import Stream
from hardset.pipeline.augment.table import operation
from hardset.schemas.job.operations.base import OperationSettings


def draw(specs: Sequence[OperationSettings], seeds: Tensor) -> tuple[Step, ...]:
    """Steps for rows with `seeds`, int64 (N,), in the order of `specs`, which are settled. Raises JobError."""
    steps = []
    for position, spec in enumerate(specs):
        applied, drawn = draw_columns(operation(spec.name), spec, Stream(seeds, position))
        steps.append(Step(spec.name, applied, drawn))
    return tuple(steps)


def to_json(steps: Sequence[Step], rows: int) -> list[str]:
    """Compact JSON per row: a list with name, applied and, where applied, the parameters in full precision."""
    lists: list[list[dict[str, object]]] = [[] for _ in range(rows)]
    for step in steps:
        for row, drawn in enumerate(step.rows()):
            lists[row].append({"name": step.name, "applied": drawn is not None, **(drawn or {})})
    encode = json.JSONEncoder(separators=(",", ":")).encode
    return [encode(one) for one in lists]


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
