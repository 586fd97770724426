"""Training: deterministic, side-effect free, averaged, and told apart from what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hardset.pipeline.gans.files import encode_generator
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.networks import GeneratorNet
from hardset.pipeline.gans.shape import Shape
from hardset.pipeline.gans.training import rows_digest, train_generator
from hardset.schemas.errors import JobError
from hardset.schemas.job.recipes import GanTraining
from tests.gans.conftest import TINY, tiny_generator, training_rows

CPU = torch.device("cpu")


def trained(shape: tuple[int, int, int] = (8, 8, 1), classes: int = 3, **settings: float) -> Generator:
    pixels, labels = training_rows(shape=shape, classes=3)
    settings_ = TINY.model_copy(update=settings)
    return train_generator(pixels, labels, classes=classes, settings=settings_, seed=0, device=CPU)


def test_the_seed_fixes_every_weight_whatever_the_global_generator_holds() -> None:
    torch.manual_seed(1)
    first = encode_generator(tiny_generator(seed=5))
    torch.manual_seed(2)
    assert encode_generator(tiny_generator(seed=5)) == first
    assert encode_generator(tiny_generator(seed=6)) != first


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    tiny_generator()
    assert torch.equal(before, torch.get_rng_state())


def test_the_average_warms_up_and_takes_batch_statistics_over() -> None:
    """After one step the average is 0.1 of the first weights and 0.9 of the new ones, whatever `ema` is above 0.1."""
    torch.manual_seed(0)
    first = GeneratorNet(Shape(3, 8, 8, 1, TINY.latent, TINY.features))
    new, average = trained(steps=1, ema=0.0).net, trained(steps=1, ema=0.998).net
    for start, end, mean in zip(first.parameters(), new.parameters(), average.parameters(), strict=True):
        torch.testing.assert_close(mean, 0.1 * start + 0.9 * end, rtol=1e-4, atol=1e-6)
    for end, mean in zip(new.buffers(), average.buffers(), strict=True):
        assert torch.equal(end, mean)
    assert any(not torch.equal(a, b) for a, b in zip(first.buffers(), average.buffers(), strict=True))


def test_the_generator_learns_what_each_class_looks_like() -> None:
    labels = np.arange(64, dtype=np.int64) % 2
    pixels = np.where(labels == 1, 200, 30).astype(np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    settings = GanTraining(steps=120, batch=16, latent=4, features=16, generator_rate=2e-3, discriminator_rate=4e-3)
    net = train_generator(pixels, labels, classes=2, settings=settings, seed=0, device=CPU).net
    with torch.no_grad():
        dark, light = (net(torch.randn(32, 4), torch.full((32,), label)).mean().item() for label in (0, 1))
    assert abs(dark - 30 / 255) < 0.15 and abs(light - 200 / 255) < 0.15


@pytest.mark.parametrize("shape", [(7, 8, 1), (8, 129, 3), (8, 8, 2)], ids=str)
def test_images_it_cannot_make_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(JobError, match=r"source: has images .*set source\.size"):
        trained(shape)


def test_classes_without_rows_are_refused() -> None:
    with pytest.raises(JobError, match="no training rows of class 3, 4;"):
        trained(classes=5)


def test_the_digest_of_the_training_rows_sees_pixels_labels_and_shape() -> None:
    pixels, labels = training_rows()
    other_pixels, other_labels = pixels.copy(), labels.copy()
    other_pixels[3, 2, 1, 0] ^= 1
    other_labels[0] += 1
    digests = {
        rows_digest(pixels, labels),
        rows_digest(other_pixels, labels),
        rows_digest(pixels, other_labels),
        rows_digest(pixels.reshape(24, 4, 16, 1), labels),
    }
    assert len(digests) == 4
    assert tiny_generator().card.trained_on == rows_digest(pixels, labels)
