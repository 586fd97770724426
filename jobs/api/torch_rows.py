"""The rows of a dataset as torch takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hardset.pipeline.dataset.files.png import decode_png


class TorchRows(Dataset[tuple[Any, ...]]):
    """Map-style: an image and the values of some columns for each row."""

    def __init__(
        self, table: pa.Table, columns: tuple[str, ...], transform: Callable[[Tensor], Any] | None = None
    ) -> None:
        """`table`: the column `image`, and `columns`; `transform`: what is done to every image."""
        self._images = table["image"].combine_chunks().field("bytes")
        self._values = [table[name] for name in columns]
        self._transform = transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        """(image, *values) of a row: float32 (C, H, W) in [0, 1], or what `transform` makes of it, and plain values."""
        pixels = torch.from_numpy(decode_png(self._images[row].as_py()).copy())
        image = pixels.permute(2, 0, 1).contiguous().float() / 255
        return (self._transform(image) if self._transform else image, *(values[row].as_py() for values in self._values))
