"""Every proposal of the square attack beside the loops of Andriushchenko et al. (2020, arXiv 1912.00049), for one row.

The paper draws from a generator of its own; here its draws are the row's words.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.square import Square
from hardset.pipeline.attacks.square_l2 import bumps
from hardset.pipeline.compute import rng
from tests.attacks.textbook import engine_passes, others, small_net, stored_linf, work_of

STEPS, SIDE = 80, 8


def _linf(ask, image, *, seed, radius, steps):
    """The paper's algorithms 1 and 2 for one row, in plain Python; the image and loss of every pass."""
    channels, height, width = image.shape

    def words(step, count):
        return rng.words(torch.tensor([seed]), rng.Draw.SQUARE, count, 0, step)[0].tolist()

    def sign(values, bit):
        return 1 if values[bit // 32] >> bit % 32 & 1 else -1

    def end(channel, row, column, towards):
        return min(max(float(image[channel, row, column]) + towards * radius, 0.0), 1.0)

    first = ask(image)
    best, highest, seen = image, first, [(image, first)]
    for query in range(-1, steps - 2):
        point, drawn = best.clone(), words(query + 2, 2 + -(-channels // 32))
        if query < 0:
            stripes = words(0, -(-channels * width // 32))
            for place in np.ndindex(channels, height, width):
                point[place] = end(*place, sign(stripes, place[0] * width + place[2]))
        else:
            area = 0.8 / 2 ** sum(
                query * 10_000 // steps > last for last in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
            )
            side = min(max(round(math.sqrt(area * height * width)), 1), height, width)
            top, left = drawn[0] * (height - side + 1) >> 32, drawn[1] * (width - side + 1) >> 32
            for flip in (1, -1):
                for channel, row, column in np.ndindex(channels, side, side):
                    place = channel, top + row, left + column
                    point[place] = end(*place, flip * sign(drawn[2:], channel))
                if not torch.allclose(point, best, rtol=0, atol=1e-7):
                    break
        loss = ask(point)
        seen.append((point, loss))
        if loss > highest:
            best, highest = point, loss
    return seen


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


def _l2(ask, image, *, seed, radius, steps):
    """Algorithm 3 for one row, in NumPy; the image of every pass."""
    clean = image.double().numpy()
    channels, height, width = clean.shape

    def words(step, count):
        return rng.words(torch.tensor([seed]), rng.Draw.SQUARE, count, 0, step)[0].tolist()

    def lengths(values):
        return np.sqrt((values**2).sum(axis=(1, 2), keepdims=True))

    first = ask(torch.from_numpy(clean).float())
    best, highest, seen = clean, first, [(clean, first)]
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
        loss = ask(torch.from_numpy(point).float())
        seen.append((point, loss))
        if loss > highest:
            best, highest = point, loss
    return [(torch.from_numpy(point).float(), loss) for point, loss in seen]


@pytest.mark.parametrize(
    ("geometry", "radius", "loop", "on_grid", "tolerance"),
    # In L2 a proposal is made of sums over the whole image, and what is kept of it goes into the next.
    [(Linf(), 23.3 / 255, _linf, False, 1e-6), (Linf(), 23.3 / 255, _linf, True, 1e-6), (L2(), 1.0, _l2, False, 1e-4)],
    ids=["linf", "linf on the grid", "l2"],
)
def test_every_proposal_is_the_papers(geometry, radius, loop, on_grid, tolerance):
    net = small_net(channels=3, side=SIDE)
    work = work_of(net, geometry, radius, radius, side=SIDE, channels=3, started=False)
    search = Search(objectives.margin, geometry, Square(), STEPS, random_start=False, on_grid=on_grid)
    found = engine_passes(net, search, work)
    assert len(found) == STEPS
    for row in range(len(work)):
        clean, label = work.pixels[row].float() / 255, int(work.labels[row])

        def ask(point, clean=clean, label=label):
            logits = net((stored_linf(point, clean, 23) if on_grid else point)[None])[0].detach()
            return float(others(logits, label).max() - logits[label])

        expected = loop(ask, clean, seed=int(work.seeds[row]), radius=float(work.radius[row]), steps=STEPS)
        kept = 0
        for seen, (point, loss) in zip(found, expected, strict=True):
            torch.testing.assert_close(seen.images[row], point, rtol=0, atol=tolerance)
            assert float(seen.loss[row]) == pytest.approx(loss, abs=1e-3)
            kept += float(seen.memory["best_loss"][row]) == float(seen.loss[row])
        assert kept > 3
