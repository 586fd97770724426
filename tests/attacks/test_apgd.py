"""Auto-PGD beside a row-by-row transcription of the paper's algorithm 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.apgd import AutoPgd
from hardset.pipeline.attacks.engine import Engine, Rows, Search
from hardset.pipeline.attacks.geometries import L2, Linf
from tests.attacks.nets import CPU, conv_net, images, predictions, seeds


def _algorithm_1(net, image, label, *, start, geometry, radius: float, steps: int):
    """One row, lists and plain numbers; returns its best point, its best loss and how often the step was halved."""
    clean, size, radii = image[None], 2 * radius, torch.tensor([radius])

    def value(point):
        point = point.detach().requires_grad_()
        loss = F.cross_entropy(net(point), label[None])
        return float(loss.detach()), torch.autograd.grad(loss, point)[0]

    def step(point, gradient):
        return geometry.project(point + size * geometry.steepest(gradient, point, radii), clean, radii)

    marks, gap = [0, max(int(0.22 * steps), 1)], max(int(0.22 * steps), 1)
    while marks[-1] <= steps:
        gap = max(gap - max(int(0.03 * steps), 1), int(0.06 * steps), 1)
        marks.append(marks[-1] + gap)
    point, before, losses, points, gradients = start[None], start[None], [], [], []
    best_at_mark, halved_last, halvings = None, True, 0
    for count in range(steps + 1):
        loss, gradient = value(point)
        losses.append(loss), points.append(point), gradients.append(gradient)
        if count == steps:
            break
        best = int(np.argmax(losses))
        if count == 0:
            best_at_mark = losses[0]
        here = point
        if count in marks[1:]:
            last = marks[marks.index(count) - 1]
            rises = sum(losses[k] > losses[k - 1] for k in range(last + 1, count + 1))
            halve = rises <= 0.75 * (count - last) or (not halved_last and best_at_mark >= losses[best])
            halved_last, best_at_mark = halve, losses[best]
            if halve:
                size, here, gradient, halvings = size / 2, points[best], gradients[best], halvings + 1
        plain = step(here, gradient)
        mixed = here + 0.75 * (plain - here) + 0.25 * (here - before)
        before, point = point, plain if count == 0 else geometry.project(mixed, clean, radii)
    return points[int(np.argmax(losses))][0], max(losses), halvings


@pytest.mark.parametrize("geometry", [Linf(), L2()], ids=["linf", "l2"])
def test_agrees_with_algorithm_1_row_by_row(geometry):
    net, pixels, steps = conv_net(), images(8, seed=29), 40
    labels = torch.from_numpy(predictions(net, pixels))
    # Labels that the net already misses: no iterate outranks another, so that the best loss alone decides.
    labels = (labels + 1) % 10
    eps = np.full(8, 10 / 255 if geometry.name == "linf" else 0.7)
    work = Rows(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        labels=labels,
        targets=labels[:, None],
        seeds=torch.from_numpy(seeds(8)),
        radius=geometry.radius(eps),
        budget=geometry.budget(eps),
        step_size=2 * eps,
    )
    search = Search(objectives.cross_entropy, geometry, AutoPgd(), steps, on_grid=False)
    outcome = Engine(net, 8, CPU).run(search, work)
    clean = work.pixels.float() / 255
    starts = geometry.start(clean, torch.tensor(eps).float(), work.seeds, torch.zeros(8, dtype=torch.int64))
    halvings = 0
    for row in range(8):
        _, loss, times = _algorithm_1(
            net, clean[row], labels[row], start=starts[row], geometry=geometry, radius=float(eps[row]), steps=steps
        )
        assert outcome.loss[row] == pytest.approx(loss, rel=2e-3)
        halvings += times
    assert halvings > 8
