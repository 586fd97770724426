"""Every step of Auto-PGD beside algorithm 1 of Croce and Hein (2020), for one row in lists and numbers."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, log2

import pytest
import torch
import torch.nn.functional as F

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.apgd import AutoPgd
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.search import Search
from tests.attacks.textbook import (
    CLOSE,
    assert_asked,
    engine_passes,
    others,
    project_l1,
    project_l2,
    project_linf,
    small_net,
    stored_linf,
    work_of,
)

STEPS = 100  # every checkpoint is then a whole number of steps, in the paper and in its program


def _checkpoints(steps: int) -> list[int]:
    """w_j = ceil(p_j * steps) with p_1 = 0.22 and p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)."""
    shares = [Fraction(0), Fraction(22, 100)]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - Fraction(3, 100), Fraction(6, 100)))
    return [ceil(share * steps) for share in shares]


def _sparse(gradient, image, radius):
    """The largest gradients share the step, of values that the box lets move: hardset's own rule for how many."""
    pressing = ((gradient > 0) & (image >= 1)) | ((gradient < 0) & (image <= 0))
    size = torch.where(pressing, 0, gradient.abs()).flatten()
    count = min(max(ceil(3 * radius), 1), max(1, ceil(0.1 * len(size))))
    step = torch.zeros_like(size)
    chosen = size.argsort(descending=True)[:count]
    step[chosen] = gradient.flatten()[chosen].sign() / count
    return step.view_as(gradient)


NORMS = {
    "linf": (Linf(), 5.3 / 255, project_linf, lambda gradient, image, radius: gradient.sign()),
    "l2": (L2(), 0.11, project_l2, lambda gradient, image, radius: gradient / gradient.norm()),
    "l1": (L1(), 0.8, project_l1, _sparse),
}


def _algorithm_1(points, losses, gradients, clean, *, radius, size, project, steepest):
    """From each of the points so far, the next one and the size of the step to it."""
    marks, before = _checkpoints(STEPS), points[0]
    best_at_mark, halved_at_mark = losses[0], True
    for count in range(len(points)):
        best = max(range(count + 1), key=lambda k: losses[k])
        here, gradient = points[count], gradients[count]
        if count > 0 and count in marks:
            last = marks[marks.index(count) - 1]
            rises = sum(losses[k + 1] > losses[k] for k in range(last, count))
            # At most, as in the authors' program; the paper has fewer than.
            stalled = rises <= 0.75 * (count - last)
            halved_at_mark = stalled or (not halved_at_mark and losses[best] == best_at_mark)
            best_at_mark = losses[best]
            if halved_at_mark:
                size, here, gradient = size / 2, points[best], gradients[best]
        plain = project(here + size * steepest(gradient, here, radius), clean, radius)
        mixed = project(here + 0.75 * (plain - here) + 0.25 * (here - before), clean, radius)
        before = here
        yield (plain if count == 0 else mixed), size


def _cross_entropy(logits, label, target):
    return F.cross_entropy(logits[None], torch.tensor([label]))


def _dlr(logits, label, target):
    """Equation 6 of the paper."""
    first, _, third = logits.sort(descending=True).values[:3]
    return -(logits[label] - others(logits, label).max()) / (first - third)


def _targeted_dlr(logits, label, target):
    """Equation 7."""
    first, _, third, fourth = logits.sort(descending=True).values[:4]
    return -(logits[label] - logits[target]) / (first - (third + fourth) / 2)


LOSSES = {
    "ce": (objectives.cross_entropy, _cross_entropy),
    "dlr": (objectives.dlr, _dlr),
    "dlr towards a class": (objectives.targeted_dlr, _targeted_dlr),
}


def _halvings(norm: str, loss: str, *, on_grid: bool = False) -> list[int]:
    """Compares all rows at every pass; times that each row's step was halved."""
    (geometry, radius, project, steepest), (objective, formula) = NORMS[norm], LOSSES[loss]
    net = small_net()
    first = radius if norm == "l1" else 2 * radius
    work = work_of(net, geometry, radius, first)
    found = engine_passes(net, Search(objective, geometry, AutoPgd(), STEPS, on_grid=on_grid), work)
    assert len(found) == STEPS
    halvings = []
    for row in range(len(work)):
        clean, label, target = work.pixels[row].float() / 255, int(work.labels[row]), int(work.targets[row, 0])
        points = [seen.images[row] for seen in found]
        torch.testing.assert_close(points[0], work.start[row])
        for seen, point in zip(found, points, strict=True):
            asked = stored_linf(point, clean, 5) if on_grid else point
            assert_asked(seen, row, net, lambda logits, of=(label, target): formula(logits, *of), asked)
        steps = _algorithm_1(
            points, [float(seen.loss[row]) for seen in found], [seen.gradient[row] for seen in found], clean,
            radius=float(work.radius[row]), size=first, project=project, steepest=steepest,
        )  # fmt: skip
        for count, (after, size) in enumerate(steps):
            assert float(found[count].memory["size"][row]) == pytest.approx(size, rel=1e-6)
            if count + 1 < STEPS:
                torch.testing.assert_close(points[count + 1], after, **CLOSE)
        halvings.append(round(log2(first / size)))
    return halvings


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_every_iterate_and_step_size_is_the_papers(norm, loss):
    assert max(_halvings(norm, loss)) > 1


@pytest.mark.parametrize("loss", LOSSES)
def test_on_the_grid_the_gradient_is_that_of_the_stored_image(loss):
    assert max(_halvings("linf", loss, on_grid=True)) > 1
