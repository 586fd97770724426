"""Augmented rows: operations in order, at a fixed batch shape, with the parameters of each row on record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.augment.operations import Rows, apply, draw
from pipeline.rows import CleanRows, MadeRows, Pixels
from schemas.recipes import Augment, Operation
from schemas.rows import AUGMENTED


class AugmentRecipe:
    """Makes `variants` augmented rows from each clean row."""

    kind = AUGMENTED
    op = "augment"

    def __init__(self, spec: Augment, *, batch: int, device: torch.device) -> None:
        self.variants = spec.variants
        self._ops, self._batch, self._device = spec.ops, batch, device

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """Augmented rows in the order (parent, variant)."""
        count = len(rows) * self.variants
        parents = np.repeat(np.arange(len(rows)), self.variants)
        pixels, params = np.empty((count, *rows.pixels.shape[1:]), np.uint8), list[str | None]()
        flat = seeds.reshape(-1)
        for start in range(0, count, self._batch):
            part = slice(start, min(start + self._batch, count))
            made, drawn = self._make_batch(rows.pixels[parents[part]], flat[part])
            pixels[part] = made
            params += drawn
        variants = np.tile(np.arange(self.variants, dtype=np.int32), len(rows))
        return MadeRows(pixels, parents, variants, {"params": params})

    def _make_batch(self, pixels: Pixels, seeds: NDArray[np.int64]) -> tuple[Pixels, list[str]]:
        """One batch, filled up with its first row to the fixed shape."""
        count = len(pixels)
        fill = np.zeros(self._batch, np.int64)
        fill[:count] = np.arange(count)
        images, keys = _to_images(pixels[fill], self._device), torch.from_numpy(seeds[fill]).to(self._device)
        drawn = [draw(operation, Rows(keys, position)) for position, operation in enumerate(self._ops)]
        made = _to_pixels(_applied(self._ops, images, drawn, keys))
        return made[:count], [_record(self._ops, drawn, row) for row in range(count)]


def replay_params(ops: Sequence[Operation], pixels: Pixels, params: Sequence[str], seeds: NDArray[np.int64]) -> Pixels:
    """The rows that stored `params` describe, from their clean pixels (uint8 N x H x W x C)."""
    records = [json.loads(text) for text in params]
    drawn = [
        {name: torch.tensor([record[at][name] for record in records]) for name in records[0][at] if name != "name"}
        for at in range(len(ops))
    ]
    cpu = torch.device("cpu")
    return _to_pixels(_applied(ops, _to_images(pixels, cpu), drawn, torch.from_numpy(seeds)))


def _applied(ops: Sequence[Operation], images: Tensor, drawn: Sequence[dict[str, Tensor]], seeds: Tensor) -> Tensor:
    for position, (operation, parameters) in enumerate(zip(ops, drawn, strict=True)):
        images = apply(operation, images, parameters, Rows(seeds, position))
    return images


def _record(ops: Sequence[Operation], drawn: Sequence[dict[str, Tensor]], row: int) -> str:
    """Compact JSON of what was drawn for a row; float32 values are written so that they read back the same."""
    entries: list[dict[str, Any]] = [
        {"name": operation.name, **{name: values[row].item() for name, values in parameters.items()}}
        for operation, parameters in zip(ops, drawn, strict=True)
    ]
    return json.dumps(entries, separators=(",", ":"))


def _to_images(pixels: Pixels, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float() / 255


def _to_pixels(images: Tensor) -> Pixels:
    """Round half to even onto the 8-bit grid."""
    levels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    pixels: Pixels = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
