"""The augmentation as a recipe: clean rows in, augmented rows and their drawn parameters out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.augment.parameters import apply, draw, from_json, to_json
from hardset.pipeline.augment.table import settled
from hardset.pipeline.batches import CleanRows, MadeRows, Pixels
from hardset.pipeline.compute.levels import unit_images
from hardset.schemas.job.recipes import Augment
from hardset.schemas.rows.contract import AUGMENTED

_VALUES = {"cpu": 1 << 20}  # pixel values in flight; the noise generator holds about 150 bytes for each
_VALUES_ELSEWHERE = 1 << 24  # 2.5 GB: 7 photographs at a time would leave an accelerator idle


class AugmentRecipe:
    """Applies the operations in order, with parameters drawn for each made row from its own seed."""

    kind = AUGMENTED
    op = "augment"

    def __init__(self, spec: Augment, *, batch: int, device: torch.device) -> None:
        """`batch`: most rows that are worked on at once; it does not change the rows.

        Raises JobError where a user's own operation cannot be found, or does not take its settings.
        """
        self.variants = spec.variants
        self._ops = tuple(settled(one, at=f"ops.{number}") for number, one in enumerate(spec.ops))
        self._batch = batch
        self._device = device

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """`variants` rows of each clean row, in the order (parent, variant); column `params` holds what was drawn."""
        parents = np.repeat(np.arange(len(rows), dtype=np.int64), self.variants)
        flat = seeds.reshape(-1)
        pixels = np.empty((len(parents), *rows.pixels.shape[1:]), np.uint8)
        params: list[str] = []
        values = _VALUES.get(self._device.type, _VALUES_ELSEWHERE)
        step = max(1, min(self._batch, values // max(1, int(np.prod(rows.pixels.shape[1:])))))
        for start in range(0, len(parents), step):
            part = slice(start, start + step)
            keys = torch.from_numpy(flat[part]).to(self._device)
            drawn = draw(self._ops, keys)
            images = to_images(rows.pixels[parents[part]], self._device)
            pixels[part] = to_pixels(apply(images, drawn, keys))
            params += to_json(drawn, len(keys))
        return MadeRows(
            pixels=pixels,
            parents=parents,
            variants=np.tile(np.arange(self.variants, dtype=np.int32), len(rows)),
            columns={"params": params},
        )


def replay_params(pixels: Pixels, params: str, seed: int) -> Pixels:
    """The made row of one clean row, H x W x C uint8, from its `params` and `seed` columns alone."""
    images = to_images(pixels[None], torch.device("cpu"))
    row: Pixels = to_pixels(apply(images, from_json(params), torch.tensor([seed])))[0]
    return row


def to_images(pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 N x H x W x C to float32 N x C x H x W in [0, 1]."""
    return unit_images(torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2))


def to_pixels(images: Tensor) -> Pixels:
    """Float N x C x H x W in [0, 1] to uint8 N x H x W x C, rounded half to even."""
    pixels: Pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
