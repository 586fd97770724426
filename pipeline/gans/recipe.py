"""Generated rows: each from a latent of its own key, at a fixed batch shape, by a generator in eval mode."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import rng
from pipeline.gans.training import Generator
from pipeline.rows import CleanRows, MadeRows
from schemas.errors import JobError
from schemas.rows import GENERATED


class SampleRecipe:
    """Draws a row for each class asked for."""

    kind = GENERATED
    op = "gan"
    variants = 1

    def __init__(self, generator: Generator, *, classes: int, batch: int, device: torch.device) -> None:
        """Raises JobError where the generator knows another number of classes."""
        if generator.shape.classes != classes:
            raise JobError(
                f"generator.weights: made for {generator.shape.classes} classes, the job has {classes}; "
                "train it again with `hardset train-gan`"
            )
        self._generator, self._batch, self._device = generator, batch, device

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """One row for each of `rows.labels`."""
        shape, count = self._generator.shape, len(rows)
        pixels = np.empty((count, shape.height, shape.width, shape.channels), np.uint8)
        for start in range(0, count, self._batch):
            stop = min(start + self._batch, count)
            pixels[start:stop] = self._draw(rows.labels[start:stop], seeds[start:stop, 0])
        return MadeRows(pixels, np.arange(count), np.zeros(count, np.int32))

    def _draw(self, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        fill = np.zeros(self._batch, np.int64)
        fill[: len(labels)] = np.arange(len(labels))
        keys = torch.from_numpy(seeds[fill]).to(self._device)
        classes = torch.from_numpy(labels[fill]).to(self._device)
        latents = rng.normal(keys, rng.Draw.LATENT, (self._generator.shape.latent,))
        with torch.no_grad():
            images = self._generator.net(latents, classes)
        levels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        made: NDArray[np.uint8] = levels[: len(labels)].cpu().numpy()
        return made
