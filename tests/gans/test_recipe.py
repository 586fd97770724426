"""Generated rows depend on their own seed and class alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.recipe import SampleRecipe
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Image
from tests.gans.conftest import tiny_generator

CPU = torch.device("cpu")


def asked(labels: NDArray[np.int64]) -> CleanRows:
    """As `pipeline.shards.worker` asks for samples."""
    numbers = np.arange(len(labels), dtype=np.int64)
    return CleanRows(np.zeros((0, 0, 0, 1), np.uint8), labels, tuple(f"sample#{n}" for n in numbers), numbers)


def sampled(generator: Generator, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> Pixels:
    recipe = SampleRecipe(generator, classes=generator.card.classes, batch=16, device=CPU)
    return recipe.make(asked(labels), seeds[:, None]).pixels


def drawn(count: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    generator = np.random.default_rng(2)
    return generator.integers(0, classes, count), generator.integers(0, 2**63, count, np.int64)


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 12, 3), (32, 32, 3), (28, 28, 1)], ids=str)
def test_a_row_does_not_depend_on_its_neighbours_or_order(shape: tuple[int, int, int]) -> None:
    generator = tiny_generator(shape)
    labels, seeds = drawn(70, 3)
    whole = sampled(generator, labels, seeds)
    assert whole.shape == (70, *shape) and whole.dtype == np.uint8
    order = np.random.default_rng(3).permutation(70)[:33]
    assert np.array_equal(sampled(generator, labels[order], seeds[order]), whole[order])
    assert np.array_equal(sampled(generator, labels[-1:], seeds[-1:])[0], whole[-1])


def test_seed_and_class_both_matter(generator: Generator) -> None:
    seeds = np.array([5, 6, 5], np.int64)
    first, other_seed, other_class = sampled(generator, np.array([0, 0, 1]), seeds)
    assert not np.array_equal(first, other_seed)
    assert not np.array_equal(first, other_class)


def test_a_generator_left_in_train_mode_is_sampled_in_eval_mode(generator: Generator) -> None:
    labels, seeds = drawn(20, 3)
    expected = sampled(generator, labels, seeds)
    training = tiny_generator()
    training.net.train()
    assert np.array_equal(sampled(training, labels, seeds), expected)
    assert training.net.training


def test_made_rows_name_their_parents(generator: Generator) -> None:
    labels, seeds = drawn(9, 3)
    recipe = SampleRecipe(generator, classes=3, batch=4, device=CPU)
    made = recipe.make(asked(labels), seeds[:, None])
    assert (recipe.kind, recipe.op, recipe.variants) == ("generated", "gan", 1)
    assert made.parents.tolist() == list(range(9)) and made.parents.dtype == np.int64
    assert made.variants.tolist() == [0] * 9 and made.variants.dtype == np.int32
    assert len(recipe.make(asked(labels[:0]), seeds[:0, None])) == 0


def test_the_global_generator_is_left_alone(generator: Generator) -> None:
    before = torch.get_rng_state()
    sampled(generator, *drawn(5, 3))
    assert torch.equal(before, torch.get_rng_state())


def test_a_job_that_does_not_fit_is_refused(generator: Generator) -> None:
    with pytest.raises(
        JobError, match=r"recipes\.4\.generator\.weights: the generator makes 3 classes, the job has 10"
    ):
        SampleRecipe(generator, classes=10, batch=4, device=CPU, key="recipes.4.generator.weights")
    wanted = Image(height=8, width=8, channels=3)
    with pytest.raises(JobError, match="8 x 8 pixels with 1 channel, the job's are 8 x 8 pixels with 3 channels"):
        SampleRecipe(generator, classes=3, batch=4, device=CPU, image=wanted)
    SampleRecipe(generator, classes=3, batch=4, device=CPU, image=Image(height=8, width=8, channels=1))
