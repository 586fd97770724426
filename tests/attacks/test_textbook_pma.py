"""Every step of PMA beside its two losses and its cosine (Lin et al. 2024, arXiv 2411.15210), for one row."""

from __future__ import annotations

from math import cos, pi

import pytest
import torch

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.schedules import Cosine
from hardset.pipeline.attacks.search import Search
from tests.attacks.textbook import (
    CLOSE,
    assert_asked,
    engine_passes,
    others,
    project_l2,
    project_linf,
    small_net,
    stored_linf,
    work_of,
)

STEPS = 20
NORMS = {
    "linf": (Linf(), 9.3 / 255, project_linf, torch.sign),
    "l2": (L2(), 0.4, project_l2, lambda gradient: gradient / gradient.norm()),
}


def _loss(logits, label, *, turn, done):
    """Maximal other probability less the label's, of which the first half of a turn follows one part alone.

    Logits whose gap is wider than 10 are scaled down to it, which is not the paper's: their probabilities have no
    gradient in float32.
    """
    gap = float((logits[label] - others(logits, label).max()).abs().detach())
    shares = (logits * min(1.0, 10 / gap)).softmax(dim=0)
    other, own = others(shares, label).max(), shares[label]
    if 2 * done >= STEPS:
        return other - own
    return other - 1 if turn == "other" else -own


@pytest.mark.parametrize("turn", ["other", "own"])
@pytest.mark.parametrize(("norm", "on_grid"), [("linf", False), ("l2", False), ("linf", True)])
def test_every_iterate_is_the_papers(norm, turn, on_grid):
    geometry, radius, project, steepest = NORMS[norm]
    net = small_net(gain=15)
    work = work_of(net, geometry, radius, 2 * radius)
    search = Search(
        objectives.probability_margin_in_turns, geometry, Cosine(), STEPS,
        restarts=2, after_success=None, on_grid=on_grid,
    )  # fmt: skip
    # Both turns of all rows: first all that raise the best other probability, then all that lower the label's.
    found = engine_passes(net, search, work)
    found = found[:STEPS] if turn == "other" else found[STEPS:]
    assert len(found) == STEPS
    gaps = set()
    for row in range(len(work)):
        clean, label = work.pixels[row].float() / 255, int(work.labels[row])
        ball = float(work.radius[row])
        for done, seen in enumerate(found):
            point = seen.images[row]
            asked = stored_linf(point, clean, 9) if on_grid else point
            assert_asked(
                seen, row, net, lambda logits, of=(label, done): _loss(logits, of[0], turn=turn, done=of[1]), asked
            )
            logits = net(asked[None])[0]
            gaps.add(bool((logits[label] - others(logits, label).max()).abs() > 10))
            if done + 1 < STEPS:
                size = 2 * radius * 0.5 * (1 + cos(pi * done / STEPS))
                after = project(point + size * steepest(seen.gradient[row]), clean, ball)
                torch.testing.assert_close(found[done + 1].images[row], after, **CLOSE)
    assert gaps == {False, True}  # both sides of the scaling were met
