"""A tiny generator, trained for two steps, that the tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hardset.pipeline.gans.generator import Generator
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
