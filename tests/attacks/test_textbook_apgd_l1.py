"""APGD in L1 beside a plain loop over one row, written from section 4 of its paper: iterates at every pass."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.apgd import AutoPgd
from hardset.pipeline.attacks.l1 import L1
from tests.attacks.drive import passes
from tests.attacks.nets import conv_net, images, predictions


def into_ball(point: Tensor, image: Tensor, radius: Tensor) -> Tensor:
    """The nearest point of ball and box, by the projection of hardset, which other tests hold to a solver.

    Another one, right to the last bit but one, would press other values on the box, and then other ones would move.
    """
    return L1().project(point[None], image[None], radius[None])[0]


def textbook(net, image: Tensor, label: int, *, radius: Tensor, steps: int) -> list[Tensor]:
    """Every iterate of one row. A step moves none of the values that already press on the box."""
    lengths = [math.ceil(0.3 * steps), math.ceil(0.3 * steps)]
    lengths.append(steps - sum(lengths))
    count, iterates, point, best = image.numel(), [], image, image
    for phase, length in enumerate(lengths):
        times = (3.0, 2.0, 1.0)[phase]
        if phase:
            point = into_ball(best, image, radius * times)
            changed = float((point != image).sum())
            values = changed / 1.5
        else:
            changed, values = float(count), 0.2 * count
        size, window, best_loss, since = radius, max(1, int(0.04 * length)), -math.inf, 0
        for _ in range(length):
            iterates.append(point)
            asked = point.clone().requires_grad_(True)
            loss = torch.nn.functional.cross_entropy(net(asked[None]), torch.tensor([label]))
            (gradient,) = torch.autograd.grad(loss, asked)
            if loss.item() > best_loss:
                best, best_loss, best_gradient = point, loss.item(), gradient
            if since == window:
                now = float((best != image).sum())
                if now < 0.95 * changed:
                    size, point, gradient = radius, best, best_gradient
                else:
                    size = torch.maximum(size / 1.5, radius / 10)
                changed, values, since = now, now / 1.5, 0
            pressing = torch.where(gradient > 0, point >= 1, point <= 0)
            weight = gradient.abs().masked_fill(pressing, 0)
            wanted = min(max(math.ceil(values), 1), count)
            chosen = (weight >= weight.flatten().topk(wanted).values[-1]) & (weight > 0)
            step = gradient.sign() * chosen / max(int(chosen.sum()), 1)
            point = into_ball(point + size * times * step, image, radius * times)
            since += 1
    return iterates


@pytest.mark.parametrize("steps", [10, 60, 200])
def test_every_iterate_is_the_textbooks(steps: int) -> None:
    net, pixels = conv_net(), images(4, seed=5)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(predictions(net, pixels))
    radius = torch.tensor([1.0, 3.0, 6.0, 10.0])
    for row in range(4):  # one at a time: in another batch the last bits of a loss are others
        part = slice(row, row + 1)
        found = passes(
            AutoPgd().under("l1"), net, clean[part], labels[part],
            geometry=L1(), radius=radius[part], steps=steps, objective=objectives.cross_entropy,
        )  # fmt: skip
        wanted = textbook(net, clean[row], int(labels[row]), radius=radius[row], steps=steps)
        apart = [float((seen.images[0] - point).abs().sum()) for (seen, _), point in zip(found, wanted, strict=True)]
        assert max(apart) < 1e-3, (row, apart.index(max(apart)))


def test_it_reaches_three_then_two_then_one_times_the_radius() -> None:
    reach = AutoPgd().under("l1").reach(torch.arange(11, dtype=torch.int32), 10)
    assert reach is not None and reach.tolist() == [3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1]
    assert AutoPgd().under("l2").reach(torch.arange(3), 10) is None
    for steps in (1, 2, 3):
        last = AutoPgd().under("l1").reach(torch.tensor([steps - 1, steps]), steps)
        assert last is not None and last.tolist() == [1, 1], "the last iterates are within the budget"
