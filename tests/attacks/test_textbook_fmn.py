"""Every step and ball of FMN beside algorithm 1 of Pintor et al. (2021, arXiv 2102.12827), for one row."""

from __future__ import annotations

from math import cos, inf, pi

import pytest
import torch

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.fmn import Fmn
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.slots import REACHED
from tests.attacks.nets import CPU
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

STEPS = 30
NORMS = {  # geometry, its order and that of its dual, radius of the search's ball
    "linf": (Linf(), inf, 1, 40.3 / 255, project_linf),
    "l2": (L2(), 2, 2, 0.9, project_l2),
    "l1": (L1(), 1, inf, 6.0, project_l1),
}


def _margin(logits, label):
    return others(logits, label).max() - logits[label]


def _algorithm_1(points, losses, gradients, reached, clean, *, order, dual, most, project):
    """From each of the points so far, the ball of the next one and that point."""
    ball, nearest = most, inf
    for step, (point, loss, gradient) in enumerate(zip(points, losses, gradients, strict=True)):
        share = (1 + cos(pi * step / STEPS)) / 2
        gamma, alpha = 0.001 + (0.05 - 0.001) * share, 0.01 + (1 - 0.01) * share
        norm = float(torch.linalg.vector_norm((point - clean).flatten(), ord=order))
        if reached[step]:
            nearest = min(nearest, norm)
            ball = min(ball * (1 - gamma), nearest)
        elif nearest < inf:
            ball *= 1 + gamma
        else:
            slope = float(torch.linalg.vector_norm(gradient.flatten(), ord=dual))
            ball = (norm + abs(loss) / slope) * (
                1 + gamma
            )  # the factor is hardset's: to cross the border, not touch it
        ball = min(ball, most)  # hardset's, too: the job's budget
        yield ball, project(point + alpha * gradient / gradient.norm(), clean, ball)


@pytest.mark.parametrize(("norm", "on_grid"), [("linf", False), ("l2", False), ("l1", False), ("linf", True)])
def test_every_iterate_and_ball_is_the_papers(norm, on_grid):
    geometry, order, dual, radius, project = NORMS[norm]
    net = small_net()
    work = work_of(net, geometry, radius, radius, count=5, started=False)
    search = Search(objectives.margin, geometry, Fmn(), STEPS, random_start=False, on_grid=on_grid)
    found = engine_passes(net, search, work)
    assert len(found) == STEPS
    outcome = Engine(net, len(work), CPU).run(search, work)
    outcomes = []
    for row in range(len(work)):
        clean, label = work.pixels[row].float() / 255, int(work.labels[row])
        points, reached = [seen.images[row] for seen in found], []
        for seen, point in zip(found, points, strict=True):
            asked = stored_linf(point, clean, 40) if on_grid else point
            assert_asked(seen, row, net, lambda logits, label=label: _margin(logits, label), asked)
            reached.append(bool(seen.met[row]))
            loss = float(_margin(net(asked[None])[0], label))
            assert reached[-1] == (loss > 0) or abs(loss) < 1e-4  # on the border, rounding decides
        outcomes.append(sum(reached))
        steps = _algorithm_1(
            points, [float(seen.loss[row]) for seen in found], [seen.gradient[row] for seen in found], reached, clean,
            order=order, dual=dual, most=float(work.radius[row]), project=project,
        )  # fmt: skip
        nearest = inf
        for step, (ball, after) in enumerate(steps):
            if reached[step]:
                asked = stored_linf(points[step], clean, 40) if on_grid else points[step]
                nearest = min(nearest, float(torch.linalg.vector_norm((asked - clean).flatten(), ord=order)))
            assert float(found[step].memory["ball"][row]) == pytest.approx(ball, rel=1e-5)
            if step + 1 < STEPS:
                torch.testing.assert_close(points[step + 1], after, **CLOSE)
        if nearest < inf:  # the iterate behind the last step is looked at, too, and may be nearer
            assert outcome.rank[row] == REACHED
            assert nearest * 0.8 < -outcome.loss[row] <= nearest * (1 + 1e-5)
    assert any(0 < count < STEPS for count in outcomes)
