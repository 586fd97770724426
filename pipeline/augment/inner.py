"""Operations inside policies: drawn to entries of `params`, and applied from these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hardset.pipeline.augment.conversion import to_images, to_pixels
from hardset.pipeline.augment.operation import AnyOperation, Columns, Drawn, LevelOperation
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Pixels
from hardset.schemas.errors import JobError
from hardset.schemas.job.operations.base import OperationSettings

Find: TypeAlias = Callable[[str], AnyOperation]
"""Name or import path -> operation."""
Entry: TypeAlias = dict[str, Any]
"""An operation of `params` that is applied: its name and its drawn values."""


def listed(values: Tensor | Sequence[Any]) -> list[Any]:
    """Drawn values as JSON holds them."""
    return values.tolist() if isinstance(values, Tensor) else list(values)


def shown(value: object) -> str:
    """What came where something else was wanted."""
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def checked(after: object, before: Tensor, name: str, position: int) -> Tensor:
    """Images after an operation of that name. Raises JobError: they are not of the shape of those before."""
    if not isinstance(after, Tensor) or after.shape != before.shape:
        raise JobError(f"ops.{position}: {name} returned {shown(after)}; wants images of shape {tuple(before.shape)}")
    return after


def draw_columns(found: AnyOperation, spec: OperationSettings, stream: Stream) -> tuple[Tensor, Columns]:
    """Whether the operation applies to each row, bool (N,), and its parameters. Raises JobError: not one per row."""
    drawn = found.draw(spec, stream)
    for name, values in drawn.items():
        fits = isinstance(values, Tensor) and values.shape == stream.seeds.shape
        if not fits and not (isinstance(found, LevelOperation) and len(values) == len(stream.seeds)):
            raise JobError(
                f"ops.{stream.position}: {spec.name} draws {shown(values)} for {name}; wants one value per row"
            )
    always = torch.ones(stream.seeds.shape, dtype=torch.bool, device=stream.seeds.device)
    return always if spec.p == 1 else stream.chance() < spec.p, drawn


def draw_entries(find: Find, spec: OperationSettings, stream: Stream) -> list[Entry | None]:
    """The entry of each row; None where `p` leaves the row out."""
    applied, drawn = draw_columns(find(spec.name), spec, stream)
    columns = {name: listed(values) for name, values in drawn.items()}
    return [
        {"name": spec.name, **{name: column[row] for name, column in columns.items()}} if applies else None
        for row, applies in enumerate(applied.tolist())
    ]


def apply_entries(find: Find, pixels: Pixels, entries: Sequence[Drawn], stream: RowStream, first: int) -> Pixels:
    """One image after entries, in order; each takes its noise from the stream of its place, counted from `first`."""
    for number, entry in enumerate(entries):
        found = find(str(entry["name"]))
        drawn = {name: value for name, value in entry.items() if name != "name"}
        inner = stream.inside(first + number)
        if isinstance(found, LevelOperation):
            pixels = found.change(pixels, drawn, inner).reshape(pixels.shape)
            continue
        columns = {name: torch.as_tensor([value]) for name, value in drawn.items()}
        whole = Stream(torch.tensor([inner.seed]), inner.position, inner.branch)
        before = to_images(pixels[None], torch.device("cpu"))
        after = checked(found.apply(before, columns, whole), before, str(entry["name"]), whole.position)
        pixels = to_pixels(after.clamp(0, 1))[0]
    return pixels
