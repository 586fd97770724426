"""The square attack's L2 proposals beside the paper's loops, and what holds of every one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hardset.pipeline.attacks.geometries import L2
from hardset.pipeline.attacks.square import Square
from hardset.pipeline.attacks.square_l2 import bumps
from hardset.pipeline.compute import rng
from tests.attacks.drive import passes
from tests.attacks.nets import TwoClassLinear, conv_net, images, predictions


def _setting(count=6, channels=3, side=8):
    net, pixels = conv_net(channels=channels), images(count, channels=channels, side=side, seed=47)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return net, clean, torch.from_numpy(predictions(net, pixels))


def _run(net, clean, labels, radius, steps, **others):
    radius = torch.full((len(clean),), radius)
    return list(passes(Square(), net, clean, labels, geometry=L2(), radius=radius, steps=steps, **others))


def _pyramid(height, width):
    """The paper's algorithm for half a bump: rectangles that grow around the middle."""
    found, middle = np.zeros((height, width)), (height // 2, width // 2)
    for ring in range(max(height // 2 + 1, width // 2 + 1)):
        rows = slice(max(middle[0] - ring, 0), min(middle[0] + ring + 1, height))
        columns = slice(max(middle[1] - ring, 0), min(middle[1] + ring + 1, width))
        found[rows, columns] += 1 / (ring + 1) ** 2
    length = np.linalg.norm(found)
    return found / length if length else found


def _bump(side, lies):
    pair = np.concatenate((_pyramid(side // 2, side), -_pyramid(side - side // 2, side))) / math.sqrt(2)
    return pair.T if lies else pair


@pytest.mark.parametrize("lies", [False, True])
@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 11])
def test_bumps_are_the_papers(side, lies):
    rows, columns = torch.arange(11)[None] - 0, torch.arange(14)[None] - 2
    found = bumps(rows, columns, torch.tensor([side]), torch.tensor([lies]))[0, 0].numpy()
    expected = np.zeros((11, 14))
    expected[:side, 2 : 2 + side] = _bump(side, lies)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def _signs(words, count):
    return [1 if words[bit // 32] >> bit % 32 & 1 else -1 for bit in range(count)]


def _over(numbers, lengths):
    return numbers / np.where(lengths > 0, lengths, 1)


def _transcribed(net, image, label, *, seed, radius, steps):
    """Algorithm 3 for one row, in NumPy; the image of every pass."""
    clean = image.double().numpy()
    channels, height, width = clean.shape

    def words(step, count):
        return rng.words(torch.tensor([seed]), rng.Draw.SQUARE, count, 0, step)[0].tolist()

    def ask(point):
        logits = net(torch.from_numpy(point)[None].float())[0]
        return float(torch.cat((logits[:label], logits[label + 1 :])).max() - logits[label])

    def lengths(values):
        return np.sqrt((values**2).sum(axis=(1, 2), keepdims=True))

    best, highest, seen = clean, ask(clean), [clean]
    for query in range(-1, steps - 2):
        drawn = words(query + 2, 4 + -(-(channels + 1) // 32))
        *colours, lies = _signs(drawn[4:], channels + 1)
        colours = np.array(colours)[:, None, None]
        if query < 0:
            side = max(min(height, width) // 5, 1)
            tiles = channels, height // side, width // side
            margins = [(length - count * side) // 2 for length, count in zip((height, width), tiles[1:], strict=True)]
            most = max(math.prod(tiles), channels * width)
            signs = np.array(_signs(words(0, -(-most // 32)), math.prod(tiles))).reshape(tiles)
            change = np.zeros_like(clean)
            for row, column in np.ndindex(tiles[1:]):
                top, left = margins[0] + row * side, margins[1] + column * side
                change[:, top : top + side, left : left + side] = signs[:, row, column, None, None] * _bump(
                    side, lies > 0
                )
        else:
            area = 0.8 / 2 ** sum(
                query * 10_000 // steps > last for last in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
            )
            side = max(round(math.sqrt(area * height * width)), 3)
            side = min(side + 1 - side % 2, height, width)
            places = [(drawn[i] * (height - side + 1) >> 32, drawn[i + 1] * (width - side + 1) >> 32) for i in (0, 2)]
            window, other = np.zeros((2, 1, height, width))
            for one, (top, left) in zip((window, other), places, strict=True):
                one[:, top : top + side, left : left + side] = 1
            change, paid = best - clean, np.maximum(window, other)
            top, left = places[0]
            fresh = np.zeros_like(clean)
            fresh[:, top : top + side, left : left + side] = _bump(side, lies > 0)
            fresh = fresh * colours + _over(change * window, lengths(change * window))
            unspent = max(radius**2 - (change**2).sum(), 0) / channels
            fresh = _over(fresh, lengths(fresh)) * np.sqrt(unspent + lengths(change * paid) ** 2)
            change = change * (1 - paid) + fresh
        point = np.clip(clean + change / np.linalg.norm(change) * radius, 0, 1)
        loss = ask(point)
        seen.append(point)
        if loss > highest:
            best, highest = point, loss
    return seen


def test_agrees_with_the_paper_row_by_row():
    net, clean, labels = _setting(count=3, side=8)
    found = _run(net, clean, labels, 1.0, 60)
    seeds = found[0][0].seeds.tolist()
    for row in range(3):
        expected = _transcribed(net, clean[row], int(labels[row]), seed=seeds[row], radius=1.0, steps=60)
        for (seen, _), point in zip(found, expected, strict=True):
            np.testing.assert_allclose(seen.images[row].numpy(), point, rtol=0, atol=1e-4)


def test_climbs_a_linear_model_far_above_random_directions():
    """The optimum rises by radius * |w|; single pixels, of which it also consists, are below the smallest bump."""
    generator = torch.Generator().manual_seed(2)
    weight, clean = torch.randn(64, generator=generator), torch.full((4, 1, 8, 8), 0.5)
    net, labels = TwoClassLinear(weight, 10.0), torch.ones(4, dtype=torch.int64)
    found = _run(net, clean, labels, 0.3, 400)
    risen = (found[-1][1]["best_loss"] - found[0][0].loss) / (0.3 * weight.norm())
    directions = torch.nn.functional.normalize(torch.randn(400, 64, generator=generator))
    random = float((directions @ weight).max() / weight.norm())
    assert 1.4 * random < float(risen.min()) and float(risen.max()) <= 1


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**62), st.floats(0.05, 4.0))
def test_every_proposal_lies_in_ball_box_and_mask(channels, height, width, seed, radius):
    generator = torch.Generator().manual_seed(seed % 2**31)
    clean = torch.rand(3, channels, height, width, generator=generator)
    mask = torch.ones(3, 1, height, width)
    mask[1] = (torch.rand(1, height, width, generator=generator) < 0.5).float()
    mask[2] = 0
    net = TwoClassLinear(torch.randn(channels * height * width, generator=generator), 0.0)
    labels = net(clean).argmax(dim=1)
    seeds = torch.tensor([seed, seed + 1, seed ^ 12345])
    for seen, memory in _run(net, clean, labels, radius, 30, mask=mask, seeds=seeds):
        assert seen.images.min() >= 0 and seen.images.max() <= 1
        assert bool((L2().norm(seen.images - clean) <= radius * (1 + 1e-5)).all())
        assert torch.equal(seen.images * (1 - mask), clean * (1 - mask))
        assert bool(memory["best"].isfinite().all())


def test_a_row_searches_alike_in_any_company():
    net, clean, labels = _setting()
    seeds = torch.arange(6) * 12345678901
    whole = _run(net, clean, labels, 0.8, 30, seeds=seeds)[-1][0].images
    turned = _run(net, clean.flip(0), labels.flip(0), 0.8, 30, seeds=seeds.flip(0))[-1][0].images
    alone = _run(net, clean[4:5], labels[4:5], 0.8, 30, seeds=seeds[4:5])[-1][0].images
    torch.testing.assert_close(turned.flip(0), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone[0], whole[4], rtol=0, atol=1e-5)
