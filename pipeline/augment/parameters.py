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
    columns = [_texts(step) for step in steps]
    return [f"[{','.join(of_row)}]" for of_row in zip(*columns, strict=True)] if columns else ["[]"] * rows


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _texts(step: Step) -> list[str]:
    """JSON of a step for each row."""
    head = f'{{"name":{_encode(step.name)},"applied":'
    drawn = [[f",{_encode(name)}:{text}" for text in _values(values)] for name, values in step.parameters.items()]
    whole = zip(step.applied.tolist(), *drawn, strict=True)
    return [f"{head}true{''.join(texts)}}}" if applied else f"{head}false}}" for applied, *texts in whole]


def _values(values: Tensor | Sequence[Any]) -> list[str]:
    """JSON of each value; numbers of a tensor in one go, as an encoder costs more to start than a number to write."""
    if isinstance(values, Tensor) and len(values):
        return _encode(values.tolist())[1:-1].split(",")
    return list(map(_encode, values))


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
