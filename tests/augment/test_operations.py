"""Each operation against an oracle that is written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hardset.pipeline.augment.streams import Stream
from hardset.pipeline.augment.table import OPERATIONS
from hardset.schemas.job.operations.table import DECLARED

SHAPES = [(1, 8, 8), (3, 8, 12), (1, 7, 5)]


def images_of(shape: tuple[int, ...], rows: int = 6) -> torch.Tensor:
    return torch.rand(rows, *shape, generator=torch.Generator().manual_seed(1))


def stream_of(rows: int = 6, position: int = 0) -> Stream:
    return Stream(torch.arange(rows) * 7919 + 3, position)


def test_every_declared_operation_is_in_the_table() -> None:
    assert {one.settings for one in OPERATIONS.values()} == set(DECLARED)
    assert len(OPERATIONS) == len(DECLARED)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "axis"), [("hflip", 3), ("vflip", 2)])
def test_a_flip_reverses_one_axis(name: str, axis: int, shape: tuple[int, ...]) -> None:
    images = images_of(shape)
    flipped = OPERATIONS[name].apply(images, {}, stream_of())
    assert np.array_equal(flipped.numpy(), np.flip(images.numpy(), axis))


@pytest.mark.parametrize(("degrees", "turns"), [(90.0, 1), (180.0, 2), (-90.0, -1), (0.0, 0)])
def test_quarter_turns_are_rot90(degrees: float, turns: int) -> None:
    images = images_of((3, 9, 9))
    angles = torch.full((6,), degrees, dtype=torch.float64)
    turned = OPERATIONS["rotate"].apply(images, {"degrees": angles}, stream_of())
    np.testing.assert_allclose(turned.numpy(), np.rot90(images.numpy(), turns, axes=(2, 3)), atol=1e-5)


def test_rotation_is_bilinear_with_zero_fill() -> None:
    images = images_of((1, 6, 9), rows=3)
    angles = torch.tensor([12.5, -41.0, 133.0], dtype=torch.float64)
    turned = OPERATIONS["rotate"].apply(images, {"degrees": angles}, stream_of(3)).numpy()
    for row, degrees in enumerate(angles.tolist()):
        expected = turned_by_hand(images[row, 0].numpy(), degrees)
        np.testing.assert_allclose(turned[row, 0], expected, atol=1e-4)


def turned_by_hand(image: np.ndarray, degrees: float) -> np.ndarray:
    """Reads every output pixel back from where it came, the y axis pointing down."""
    height, width = image.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    made = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            dx, dy = x - (width - 1) / 2, y - (height - 1) / 2
            from_x, from_y = cos * dx - sin * dy + (width - 1) / 2, sin * dx + cos * dy + (height - 1) / 2
            left, top = math.floor(from_x), math.floor(from_y)
            for j, i in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                if 0 <= j < height and 0 <= i < width:
                    made[y, x] += image[j, i] * (1 - abs(from_y - j)) * (1 - abs(from_x - i))
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_a_crop_is_a_cut_out_of_the_padded_image(shape: tuple[int, ...]) -> None:
    images, padding = images_of(shape), 3
    top, left = torch.tensor([-3, 0, 3, 1, -2, 2]), torch.tensor([3, 0, -3, -1, 1, 2])
    cut = OPERATIONS["crop"].apply(images, {"top": top, "left": left}, stream_of()).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for row in range(6):
        y, x = int(top[row]) + padding, int(left[row]) + padding
        assert np.array_equal(cut[row], padded[row, :, y : y + shape[1], x : x + shape[2]])


def test_noise_has_the_asked_for_standard_deviation() -> None:
    images = torch.full((64, 3, 32, 32), 0.5)
    std = torch.linspace(0.05, 0.2, 64, dtype=torch.float64)
    noise = OPERATIONS["gaussian_noise"].apply(images, {"std": std}, stream_of(64)) - images
    values = noise.reshape(64, -1).double() / std[:, None]
    # 196,608 values: six standard errors of mean and standard deviation.
    assert abs(values.mean().item()) < 6 / math.sqrt(values.numel())
    assert abs(values.std().item() - 1) < 6 / math.sqrt(2 * values.numel())


def test_streams_of_different_operations_and_uses_differ() -> None:
    first, second = stream_of(1000), stream_of(1000, position=1)
    values = [first.chance(), first.uniform(0), first.uniform(1), second.chance(), second.uniform(0)]
    correlation = np.corrcoef(torch.stack(values).numpy()) - np.eye(5)
    assert np.abs(correlation).max() < 0.2
    assert not torch.equal(first.normal(0, (4,)), first.normal(1, (4,)))
