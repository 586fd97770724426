"""Sample recipe: makes each row from a latent drawn with the row's seed, by a generator in eval mode."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.batches import CleanRows, MadeRows, Pixels
from hardset.pipeline.compute import rng
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.gans.generator import Generator, check_fit
from hardset.schemas.errors import RunError
from hardset.schemas.records.run import Image
from hardset.schemas.rows.contract import GENERATED


def drawn(generator: Generator, keys: Tensor, classes: Tensor) -> tuple[Tensor, ...]:
    """What goes into a generator's network for rows with keys and classes, int64 (N,) both."""
    size = (generator.card.latent,)
    if generator.uniform:
        latents = rng.uniform(keys, rng.Draw.LATENT, size) * 2 - 1
    else:
        latents = rng.normal(keys, rng.Draw.LATENT, size)
    return (latents, classes, keys) if generator.takes_keys else (latents, classes)


def copied(net: nn.Module) -> nn.Module:
    """A copy of the network; programs that cannot be copied are used as they are, since they have no train mode."""
    return net if getattr(net, "is_program", False) else copy.deepcopy(net)


class SampleRecipe:
    """Generates one row for each requested label.

    The network always runs on full batches, because kernels are chosen by the batch's shape; so a row depends on its
    seed, its class and the batch size, but not on the other rows.
    """

    kind = GENERATED
    op = "gan"
    variants = 1

    def __init__(
        self,
        generator: Generator,
        *,
        classes: int,
        batch: int,
        device: torch.device,
        image: Image | None = None,
        key: str = "generator.weights",
        flag: str | None = None,
        divider: Divider | None = None,
    ) -> None:
        """`image`: required shape of the rows, if any. `flag`: of every row, if any.

        `divider`: splits batches that do not fit into memory.

        Raises JobError, naming `key`, if the generator does not fit the job.
        """
        check_fit(generator.card, classes=classes, image=image, key=key)
        self._net = copied(generator.net).to(device).eval()
        self._card, self._batch, self._device = generator.card, batch, device
        self._generator = generator
        self._columns_of_all = {} if flag is None else {"flags": flag}
        self._divider = divider or Divider()

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """Makes one row for each of `rows.labels`; `rows.pixels` is ignored."""
        count, card = len(rows), self._card
        pixels = np.empty((count, card.height, card.width, card.channels), np.uint8)
        for start in range(0, count, self._batch):
            part = slice(start, start + self._batch)
            pixels[part] = self._sample(rows.labels[part], seeds.reshape(count, -1)[part, 0])
        columns = {name: [value] * count for name, value in self._columns_of_all.items()}
        return MadeRows(pixels, np.arange(count, dtype=np.int64), np.zeros(count, np.int32), columns)

    def _sample(self, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> Pixels:
        """Samples of at most one batch of rows; a partial batch is padded with its first row."""
        fill = np.zeros(self._batch, np.int64)
        fill[: len(labels)] = np.arange(len(labels))
        keys = torch.from_numpy(seeds[fill]).to(self._device)
        classes = torch.from_numpy(labels[fill]).to(self._device)
        inputs = drawn(self._generator, keys, classes)
        with torch.no_grad():
            (images,) = self._divider.run(
                "the generator", self._batch, lambda rows: (self._net(*(one[rows] for one in inputs)),)
            )
        if not images.isfinite().all():
            raise RunError("the generator makes NaN or infinite values; look at its weights, or train it again")
        levels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        pixels: Pixels = levels[: len(labels)].contiguous().cpu().numpy()
        return pixels
