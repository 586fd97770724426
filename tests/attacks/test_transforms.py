"""Transforms of inputs and gradients beside SciPy's convolution and torch's own resizing, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from hardset.pipeline.attacks.transforms import Diversity, Draws, Scales, gaussian, smoothed
from hardset.pipeline.compute import rng


def _draws(count: int, *, step: int = 0) -> Draws:
    seeds = torch.from_numpy(np.random.default_rng(3).integers(0, 2**63, count))
    return Draws(seeds, torch.zeros(count, dtype=torch.int64), torch.full((count,), step, dtype=torch.int32))


def _images(count: int, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(4).random((count, 2, height, width), dtype=np.float32))


# Diversity.


def _resized_and_padded(image: torch.Tensor, words: list[int], transform: Diversity) -> torch.Tensor:
    """One row as the paper says it, with torch's own functions."""
    whether, large, top, left = (word / 2**32 for word in words)
    if whether >= transform.probability:
        return image
    sides = image.shape[1:]
    shortest = [max(int(transform.smallest * side), 1) for side in sides]
    height, width = (low + int(large * (side - low)) for low, side in zip(shortest, sides, strict=True))
    small = F.interpolate(image[None], (height, width), mode="bilinear", align_corners=False)[0]
    above, before = int(top * (sides[0] - height + 1)), int(left * (sides[1] - width + 1))
    return F.pad(small, (before, sides[1] - width - before, above, sides[0] - height - above))


@pytest.mark.parametrize("transform", [Diversity(0.5), Diversity(1.0, smallest=0.4), Diversity(1.0, smallest=0.01)])
@pytest.mark.parametrize("sides", [(12, 12), (7, 19), (1, 1)])
@pytest.mark.parametrize("copy", [0, 2])
def test_diversity_resizes_and_pads_each_row_by_its_own_draws(transform, sides, copy):
    images, draws = _images(40, *sides), _draws(40, step=6)
    words = rng.words(draws.seeds, rng.Draw.INPUT_DIVERSITY, 12, draws.order, draws.step)[:, 4 * copy :][:, :4].tolist()
    shown = transform.apply(images, draws, copy)
    assert shown.shape == images.shape
    for row in range(40):
        expected = _resized_and_padded(images[row], words[row], transform)
        torch.testing.assert_close(shown[row], expected, rtol=0, atol=2e-6)


def test_rows_that_are_not_drawn_stay_bit_for_bit():
    images, draws = _images(400), _draws(400)
    assert torch.equal(Diversity(0.0).apply(images, draws, 0), images)
    kept = (Diversity(0.3).apply(images, draws, 0) == images).flatten(1).all(dim=1)
    assert stats.binomtest(int(kept.sum()), 400, 0.7).pvalue > 0.01


def test_every_size_and_place_is_drawn():
    white, draws = torch.ones(2000, 1, 10, 10), _draws(2000)
    shown = Diversity(1.0, smallest=0.7).apply(white, draws, 0)[:, 0]
    places = {
        (int(rows.sum()), int(rows.nonzero()[0]), int(columns.nonzero()[0]))
        for rows, columns in zip(shown.amax(dim=2) > 0, shown.amax(dim=1) > 0, strict=True)
    }
    assert places == {(s, top, left) for s in (7, 8, 9) for top in range(11 - s) for left in range(11 - s)}


def test_draws_change_with_step_search_and_copy_and_not_with_the_batch():
    images, draws, transform = _images(16), _draws(16, step=3), Diversity(1.0)
    shown = transform.apply(images, draws, 0)
    assert torch.equal(shown, transform.apply(images, draws, 0))
    others = (
        transform.apply(images, _draws(16, step=4), 0),
        transform.apply(images, Draws(draws.seeds, draws.order + 1, draws.step), 0),
        transform.apply(images, draws, 1),
    )
    assert not any(torch.equal(shown, other) for other in others)
    order = torch.arange(15, -1, -1)
    mixed = Draws(draws.seeds[order], draws.order[order], draws.step[order])
    assert torch.equal(transform.apply(images[order], mixed, 0), shown[order])
    for row in range(16):
        alone = Draws(*(values[row : row + 1] for values in (draws.seeds, draws.order, draws.step)))
        torch.testing.assert_close(transform.apply(images[row : row + 1], alone, 0)[0], shown[row], rtol=0, atol=1e-6)


def test_the_gradient_passes_through():
    images, draws = _images(3, 5, 6).double(), _draws(3)
    transform = Diversity(0.7, smallest=0.5)

    def shown(values):
        return transform.apply(values.float(), draws, 0).double()

    images.requires_grad_(True)
    shown(images).square().sum().backward()
    weights = torch.autograd.functional.jacobian(lambda values: shown(values).flatten(), images.detach())
    linear = torch.einsum("oabcd,abcd->o", weights, images.detach())
    torch.testing.assert_close(linear, shown(images.detach()).flatten(), rtol=0, atol=1e-5)
    torch.testing.assert_close(images.grad, torch.einsum("oabcd,o->abcd", weights, 2 * linear), rtol=0, atol=1e-4)


# Scales.


def test_scales_halve_the_image_from_copy_to_copy():
    images, draws = _images(2), _draws(2)
    transform = Scales(copies=4)
    assert transform.copies == 4
    assert torch.equal(transform.apply(images, draws, 0), images)
    for copy in range(4):
        assert torch.equal(transform.apply(images, draws, copy), images / 2**copy)


# Smoothing.


@pytest.mark.parametrize("side", [1, 3, 7, 15])
@pytest.mark.parametrize("sides", [(12, 12), (5, 21)])
def test_smoothing_is_the_convolution_with_the_papers_kernel(side, sides):
    gradient = _images(3, *sides) - 0.5
    density = stats.norm.pdf(np.linspace(-3, 3, side)) if side > 1 else np.ones(1)
    kernel = np.outer(density, density)
    kernel /= kernel.sum()
    expected = ndimage.convolve(gradient.double().numpy(), kernel[None, None], mode="constant")
    np.testing.assert_allclose(smoothed(gradient, side).numpy(), expected, rtol=0, atol=1e-6)


@given(st.integers(0, 20).map(lambda half: 2 * half + 1))
def test_the_kernel_sums_to_one_and_is_symmetric(side):
    kernel = gaussian(side)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(kernel, kernel.flip(0))
    assert int(kernel.argmax()) == side // 2
