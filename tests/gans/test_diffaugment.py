"""DiffAugment: each change is what it is called, the same for all images that get it, and differentiable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hardset.pipeline.gans.diffaugment import Changes, changed, drawn

CPU = torch.device("cpu")


def nothing(count: int, height: int, width: int) -> Changes:
    """Changes that change nothing: the cut-out square lies outside."""
    one, none = torch.ones(count, 1, 1, 1), torch.zeros(count, dtype=torch.int64)
    return Changes(0 * one, one, one, none, none, none - 4 * height, none - 4 * width)


def images(count: int = 3, channels: int = 3, height: int = 16, width: int = 24) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_no_change_changes_nothing(channels: int) -> None:
    real = images(channels=channels)
    torch.testing.assert_close(changed(real, nothing(3, 16, 24)), real)


@pytest.mark.parametrize("channels", [1, 3])
def test_translation_shifts_and_fills(channels: int) -> None:
    real = images(channels=channels)
    moves = replace(nothing(3, 16, 24), down=torch.tensor([2, -1, 0]), right=torch.tensor([-3, 0, 1]))
    found, empty = changed(real, moves), 0.5 if channels == 3 else 0.0
    for number, (down, right) in enumerate([(2, -3), (-1, 0), (0, 1)]):
        wanted = np.full((channels, 16, 24), empty, np.float32)
        for row, column in np.ndindex(16, 24):
            if 0 <= row - down < 16 and 0 <= column - right < 24:
                wanted[:, row, column] = real[number, :, row - down, column - right]
        np.testing.assert_allclose(found[number], wanted, atol=1e-6)


def test_colour_is_brightness_then_saturation_then_contrast() -> None:
    real = images()
    brightness, saturation, contrast = (
        torch.tensor(v).view(3, 1, 1, 1) for v in ([0.2, -0.1, 0.0], [0.0, 2.0, 1.5], [0.5, 1.0, 1.5])
    )
    changes = replace(nothing(3, 16, 24), brightness=brightness, saturation=saturation, contrast=contrast)
    bright = real.numpy() + brightness.numpy()
    grey = bright.mean(1, keepdims=True)
    vivid = (bright - grey) * saturation.numpy() + grey
    level = vivid.mean((1, 2, 3), keepdims=True)
    wanted = (vivid - level) * contrast.numpy() + level
    np.testing.assert_allclose(changed(real, changes), wanted, atol=1e-5)


def test_a_square_of_half_the_side_is_cut_out() -> None:
    real = images(count=1, height=16, width=16)
    changes = replace(nothing(1, 16, 16), row=torch.tensor([8]), column=torch.tensor([4]))
    found = changed(real, changes)[0]
    assert (found[:, 5:12, 1:8] == 0.5).all()
    found[:, 5:12, 1:8] = real[0, :, 5:12, 1:8]
    torch.testing.assert_close(found, real[0])


def test_grey_images_are_moved_and_no_more() -> None:
    real = images(channels=1)
    some = drawn(3, 16, 24, CPU)
    still = replace(some, down=0 * some.down, right=0 * some.right)
    assert torch.equal(changed(real, still), real)


def test_images_can_follow_the_slopes_through_all_changes() -> None:
    made = images().requires_grad_(True)
    (slopes,) = torch.autograd.grad(changed(made, drawn(3, 16, 24, CPU)).sum(), made)
    assert slopes.isfinite().all() and (slopes != 0).any(dim=(1, 2, 3)).all()


def test_draws_stay_in_their_ranges_and_reach_their_ends() -> None:
    torch.manual_seed(0)
    found = drawn(4_000, 16, 24, CPU)
    ranges = {"brightness": (-0.25, 0.25), "saturation": (0, 2), "contrast": (0.5, 1.5)}
    for name, (low, high) in ranges.items():
        values = getattr(found, name)
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
    whole = {"down": (-2, 2), "right": (-3, 3), "row": (0, 15), "column": (0, 23)}
    assert {name: (int(getattr(found, name).min()), int(getattr(found, name).max())) for name in whole} == whole


def test_draws_come_from_the_global_generator() -> None:
    torch.manual_seed(4)
    first = drawn(5, 16, 24, CPU)
    torch.manual_seed(4)
    again, other = drawn(5, 16, 24, CPU), drawn(5, 16, 24, CPU)
    assert torch.equal(first.brightness, again.brightness) and torch.equal(first.row, again.row)
    assert not torch.equal(first.brightness, other.brightness)
