"""Momentum, look-ahead, scales, diversity and smoothing through the engine, beside one plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.engine import Engine, Search, SearchRows
from hardset.pipeline.attacks.geometries import Linf
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.transforms import Diversity, Draws, Scales, smoothed
from tests.attacks.nets import CPU, conv_net, images, predictions, recipe, rows, seeds

STEPS = 6
FAMILY = {
    "mi_fgsm": {},
    "ni_fgsm": {"nesterov": True, "scales": 3},
    "di_fgsm": {"diversity": 0.7},
    "ti_fgsm": {"smoothing": 5},
    "all at once": {"nesterov": True, "scales": 2, "diversity": 0.7, "smoothing": 3},
}


def _plain_loop(net, work: SearchRows, row: int, *, nesterov=False, scales=1, diversity=0.0, smoothing=1):
    """The largest loss of the iterates of one row, the clean image aside."""
    clean, label = work.pixels[row : row + 1].float() / 255, work.labels[row : row + 1]
    step, radius = float(work.step_size[row]), float(work.radius[row])
    point, velocity, losses = clean, torch.zeros_like(clean), []
    for count in range(STEPS):
        ahead = (point + step * velocity if nesterov else point.clone()).requires_grad_(True)
        draws = Draws(work.seeds[row : row + 1], torch.zeros(1, dtype=torch.int64), torch.tensor([count]))
        shown = [Diversity(diversity).apply(ahead, draws, scale) / 2**scale for scale in range(scales)]
        loss = sum(F.cross_entropy(net(image), label) for image in shown) / scales
        gradient = smoothed(torch.autograd.grad(loss, ahead)[0], smoothing)
        velocity = velocity + gradient / gradient.abs().mean()
        point = point + step * velocity.sign()
        point = torch.min(torch.max(point, clean - radius), clean + radius).clamp(0, 1).detach()
        losses.append(float(F.cross_entropy(net(point), label).detach()))
    return max(losses)


@pytest.mark.parametrize("settings", FAMILY.values(), ids=FAMILY)
def test_the_engine_agrees_with_a_plain_loop(settings):
    net, pixels, geometry = conv_net(), images(8, seed=53), Linf()
    # Labels that the net already misses: no iterate outranks another, so that the best loss alone decides.
    labels = (torch.from_numpy(predictions(net, pixels)) + 1) % 10
    eps = np.full(8, 12 / 255)
    work = SearchRows(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        labels=labels,
        targets=labels[:, None],
        seeds=torch.from_numpy(seeds(8)),
        radius=geometry.radius(eps),
        budget=geometry.budget(eps),
        step_size=eps / 4,
    )
    transforms = []
    if "diversity" in settings:
        transforms.append(Diversity(settings["diversity"]))
    if "scales" in settings:
        transforms.append(Scales(settings["scales"]))
    search = Search(
        objectives.cross_entropy, geometry, Momentum(nesterov=settings.get("nesterov", False)), STEPS,
        random_start=False, transforms=tuple(transforms), smoothing=settings.get("smoothing"), on_grid=False,
    )  # fmt: skip
    outcome = Engine(net, 8, CPU).run(search, work)
    for row in range(8):
        assert outcome.loss[row] == pytest.approx(_plain_loop(net, work, row, **settings), rel=1e-3)


@pytest.mark.parametrize("name", ["mi_fgsm", "ni_fgsm", "di_fgsm", "ti_fgsm", "square", "fmn"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_named_attacks_find_errors_within_budget_whatever_the_order_of_the_rows(name, norm):
    net, pixels = conv_net(), images(16, seed=59)
    labels = predictions(net, pixels)
    setting = {"linf": "32/255", "l2": 1.0}[norm]
    steps = {"steps": 150} if name == "square" else {}
    attack = recipe(net, batch=16, name=name, norm=norm, eps=setting, **steps)
    made = attack.make(rows(pixels, labels), seeds(16)[:, None])
    change = (made.pixels.astype(int) - pixels).reshape(16, -1)
    spent = np.abs(change).max(axis=1) / 32 if norm == "linf" else np.linalg.norm(change, axis=1) / 255
    assert (spent <= 1).all()
    assert (predictions(net, made.pixels) != labels).mean() > 0.8
    turned = attack.make(rows(pixels[::-1].copy(), labels[::-1]), seeds(16)[::-1, None].copy())
    assert np.array_equal(turned.pixels[::-1], made.pixels)
