"""The augmentation as a recipe: clean rows in, augmented rows and their drawn parameters out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hardset.pipeline.augment.applying import apply_to_pixels
from hardset.pipeline.augment.mixing import mixed_columns, with_partners
from hardset.pipeline.augment.parameters import draw, from_json, to_json
from hardset.pipeline.augment.table import settled
from hardset.pipeline.batches import CleanRows, MadeRows, Partners, Pixels
from hardset.schemas.job.operations.table import needs_partner
from hardset.schemas.job.recipes import Augment
from hardset.schemas.rows.contract import AUGMENTED


class AugmentRecipe:
    """Applies the operations in order, with parameters drawn for each made row from its own seed."""

    kind = AUGMENTED
    op = "augment"

    def __init__(
        self,
        spec: Augment,
        *,
        batch: int,
        device: torch.device,
        partners: Callable[[str], Partners | None] = lambda split: None,
    ) -> None:
        """`batch`: most rows that are worked on at once; it does not change the rows. `partners`: pool of a split.

        Raises JobError where a user's own operation cannot be found, or does not take its settings.
        """
        self.variants = spec.variants
        self._ops = tuple(settled(one, at=f"ops.{number}") for number, one in enumerate(spec.ops))
        self._batch = batch
        self._device = device
        self._partners = partners if any(map(needs_partner, self._ops)) else lambda split: None

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """`variants` rows of each clean row, in the order (parent, variant); column `params` holds what was drawn."""
        parents = np.repeat(np.arange(len(rows), dtype=np.int64), self.variants)
        flat = torch.from_numpy(seeds.reshape(-1))
        pixels = np.empty((len(parents), *rows.pixels.shape[1:]), np.uint8)
        params: list[str] = []
        mixed: dict[str, list[Any]] = {}
        partners = self._partners(rows.split)
        for start in range(0, len(parents), self._batch):
            part = slice(start, start + self._batch)
            drawn = draw(self._ops, flat[part])
            clean = rows.pixels[part] if self.variants == 1 else rows.pixels[parents[part]]
            apply_to_pixels(clean, with_partners(drawn, partners), flat[part], pixels[part], self._device)
            for name, values in mixed_columns(drawn, partners, clean.shape[1:]).items():
                mixed.setdefault(name, []).extend(values)
            params += to_json(drawn, len(clean))
        return MadeRows(
            pixels=pixels,
            parents=parents,
            variants=np.tile(np.arange(self.variants, dtype=np.int32), len(rows)),
            columns={"params": params, **mixed},
        )


def replay_params(pixels: Pixels, params: str, seed: int, partners: Partners | None = None) -> Pixels:
    """The made row of one clean row, H x W x C uint8, from its `params` and `seed` columns alone.

    Mixed rows need the pool of their split, too.
    """
    row, steps = np.empty_like(pixels[None]), with_partners(from_json(params), partners)
    apply_to_pixels(pixels[None], steps, torch.tensor([seed]), row, torch.device("cpu"))
    return row[0]
