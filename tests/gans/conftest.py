"""A tiny generator, trained for two steps, that the tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.players import Players
from hardset.pipeline.gans.training import train_generator
from hardset.schemas.job.recipes import GanTraining

TINY = GanTraining(steps=2, batch=8, latent=6, features=8)


def training_rows(
    count: int = 24, shape: tuple[int, int, int] = (8, 8, 1), classes: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    generator = np.random.default_rng(1)
    return generator.integers(0, 256, (count, *shape), np.uint8), np.arange(count, dtype=np.int64) % classes


def tiny_generator(shape: tuple[int, int, int] = (8, 8, 1), classes: int = 3, seed: int = 0) -> Generator:
    pixels, labels = training_rows(shape=shape, classes=classes)
    return train_generator(pixels, labels, classes=classes, settings=TINY, seed=seed, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def generator() -> Generator:
    return tiny_generator()


class Diverging:
    """Steps of the players whose losses are not finite at chosen calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
        self.slower: list[tuple[int, float]] = []
        real = Players.step

        def step(players: Players, number: int, images: Tensor, classes: Tensor, *, slower: float = 1.0) -> Tensor:
            losses = real(players, number, images, classes, slower=slower)
            self.slower.append((number, slower))
            return losses * (torch.nan if len(self.slower) in calls or calls == (-1,) else 1)

        monkeypatch.setattr(Players, "step", step)
