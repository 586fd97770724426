"""Every step of sigma-zero beside algorithm 1 of its paper (arXiv 2402.01879) with torch's own Adam, for one row."""

from __future__ import annotations

from math import cos, pi

import pytest
import torch

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.l0 import L0
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.sigma_zero import SigmaZero
from tests.attacks.textbook import engine_passes, others, small_net, work_of

STEPS = 40
SIGMA, FIRST_THRESHOLD, THRESHOLD_CHANGE, FIRST_RATE, LAST_RATE = 1e-3, 0.3, 0.01, 1.0, 0.1


def algorithm_1(net, clean, label):
    """The iterates (STEPS, C, H, W) of one row, and whether each fools the net."""
    change = torch.zeros_like(clean).requires_grad_(True)
    adam, threshold = torch.optim.Adam([change], lr=FIRST_RATE), FIRST_THRESHOLD
    points, fooled = [], []
    for step in range(STEPS):
        points.append((clean + change).detach())
        logits = net((clean + change)[None])[0]
        fooled.append(int(logits.argmax()) != label)
        pixels = change.square().sum(dim=0)
        loss = (logits[label] - others(logits, label).max()).clamp(min=0) + (pixels / (pixels + SIGMA)).mean()
        (gradient,) = torch.autograd.grad(loss, change)
        change.grad = gradient / gradient.abs().max().clamp(min=1e-12)
        rate = LAST_RATE + (FIRST_RATE - LAST_RATE) * (1 + cos(pi * step / STEPS)) / 2
        adam.param_groups[0]["lr"] = rate
        adam.step()
        threshold = min(max(threshold + (1 if fooled[-1] else -1) * THRESHOLD_CHANGE * rate, 0), 1)
        with torch.no_grad():
            change.copy_((clean + change).clamp(0, 1) - clean)
            change.mul_(change.abs().amax(dim=0) >= threshold)
    return torch.stack(points), fooled


@pytest.mark.parametrize("channels", [1, 3])
def test_every_iterate_is_the_papers(channels):
    net = small_net(channels=channels)
    work = work_of(net, L0(), 36, 1.0, count=5, channels=channels, started=False)
    search = Search(objectives.margin, L0(), SigmaZero(), STEPS, random_start=False, on_grid=False)
    found = engine_passes(net, search, work)
    assert len(found) == STEPS
    outcomes = []
    for row in range(len(work)):
        points, fooled = algorithm_1(net, work.pixels[row].float() / 255, int(work.labels[row]))
        # Adam divides by gradients that may be next to nothing, so that rounding grows from step to step.
        for step in range(STEPS):
            torch.testing.assert_close(found[step].images[row], points[step], rtol=0, atol=2e-3)
        assert [bool(seen.met[row]) for seen in found] == fooled
        outcomes.append(sum(fooled))
    assert any(0 < count < STEPS for count in outcomes)
