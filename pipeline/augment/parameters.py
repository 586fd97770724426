"""Drawn parameters and the JSON of the `params` column, which alone is enough to make a row again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.augment.operation import Parameters
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
    parameters: Parameters


def draw(specs: Sequence[OperationSettings], seeds: Tensor) -> tuple[Step, ...]:
    """Steps for rows with `seeds`, int64 (N,), in the order of `specs`, which are settled. Raises JobError."""
    steps = []
    for position, spec in enumerate(specs):
        stream = Stream(seeds, position)
        drawn = operation(spec.name).draw(spec, stream)
        for name, values in drawn.items():
            if not isinstance(values, Tensor) or values.shape != seeds.shape:
                raise JobError(
                    f"ops.{position}: {spec.name} draws {_shown(values)} for {name}; wants one value per row"
                )
        steps.append(Step(spec.name, stream.chance() < spec.p, drawn))
    return tuple(steps)


def apply(images: Tensor, steps: Sequence[Step], seeds: Tensor) -> Tensor:
    """Images in [0, 1], float32 N x C x H x W, after `steps`; clamped to [0, 1] at the end only."""
    for position, step in enumerate(steps):
        rows = step.applied.nonzero()[:, 0]
        if len(rows):
            stream = Stream(seeds, position).where(rows)
            chosen = {name: values[rows] for name, values in step.parameters.items()}
            before = images[rows]
            after = operation(step.name).apply(before, chosen, stream)
            if not isinstance(after, Tensor) or after.shape != before.shape:
                raise JobError(
                    f"ops.{position}: {step.name} returned {_shown(after)}; wants images of shape {tuple(before.shape)}"
                )
            images = images.index_copy(0, rows, after)
    return images.clamp(0, 1)


def _shown(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def to_json(steps: Sequence[Step], rows: int) -> list[str]:
    """Compact JSON per row: a list with name, applied and, where applied, the parameters in full precision."""
    lists: list[list[dict[str, object]]] = [[] for _ in range(rows)]
    for step in steps:
        values = {name: column.tolist() for name, column in step.parameters.items()}
        for row, applied in enumerate(step.applied.tolist()):
            drawn = {name: column[row] for name, column in values.items()} if applied else {}
            lists[row].append({"name": step.name, "applied": applied, **drawn})
    return [json.dumps(one, separators=(",", ":")) for one in lists]


def from_json(text: str) -> tuple[Step, ...]:
    """The steps of one row. Inverse of `to_json`."""
    return tuple(
        Step(
            entry["name"],
            torch.tensor([entry["applied"]]),
            {
                name: torch.tensor([value], dtype=torch.float64 if isinstance(value, float) else torch.int64)
                for name, value in entry.items()
                if name not in ("name", "applied")
            },
        )
        for entry in json.loads(text)
    )
