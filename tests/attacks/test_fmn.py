"""FMN beside closed forms of linear models, a transcription of the paper's algorithm, and a known bug."""

from __future__ import annotations

import math

import pytest
import torch

from hardset.pipeline.attacks.fmn import Fmn
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.schedules import Pass
from tests.attacks.drive import passes
from tests.attacks.nets import TwoClassLinear, conv_net, images, predictions, recipe, rows, seeds

GEOMETRIES = {"linf": (Linf(), 1), "l2": (L2(), 2), "l1": (L1(), math.inf)}
EVERY_NORM = pytest.mark.parametrize(("geometry", "dual"), GEOMETRIES.values(), ids=GEOMETRIES)
ENDLESS = 1e6  # radius of a search that no budget binds


def _linear(count=8, side=8, seed=1):
    """Rows so far inside the box that no smallest change meets it."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(side * side, generator=generator)
    clean = 0.4 + 0.2 * torch.rand(count, 1, side, side, generator=generator)
    net = TwoClassLinear(weight, -float((clean.flatten(1) @ weight).mean()))
    logits = net(clean)
    return net, weight, clean, logits.argmax(dim=1), (logits[:, 1] - logits[:, 0]).abs()


def _nearest(net, clean, labels, geometry, *, radius=ENDLESS, steps=200, schedule=None, **others):
    """Norm of the nearest iterate that reached the goal; infinite where none did."""
    nearest = torch.full((len(clean),), torch.inf)
    radii = torch.full((len(clean),), radius) if isinstance(radius, float) else radius
    for seen, _ in passes(
        schedule or Fmn(), net, clean, labels, geometry=geometry, radius=radii, steps=steps, **others
    ):
        norm = geometry.norm(seen.images - clean)
        nearest = torch.where(seen.met, torch.minimum(nearest, norm), nearest)
    return nearest


@EVERY_NORM
def test_finds_the_smallest_change_of_a_linear_model(geometry, dual):
    net, weight, clean, labels, gap = _linear()
    smallest = gap / torch.linalg.vector_norm(weight, ord=dual)
    nearest = _nearest(net, clean, labels, geometry)
    assert bool((nearest >= smallest * (1 - 1e-4)).all())
    assert float((nearest / smallest).max()) < 1.03


@EVERY_NORM
def test_the_budget_is_a_cap(geometry, dual):
    net, weight, clean, labels, gap = _linear()
    smallest = gap / torch.linalg.vector_norm(weight, ord=dual)
    radius = smallest * torch.tensor([0.9, 1.2] * 4)
    nearest = torch.full((8,), torch.inf)
    for seen, memory in passes(Fmn(), net, clean, labels, geometry=geometry, radius=radius, steps=100):
        norm = geometry.norm(seen.images - clean)
        assert bool((norm <= radius * (1 + 1e-5)).all()) and bool((memory["ball"] <= radius).all())
        nearest = torch.where(seen.met, torch.minimum(nearest, norm), nearest)
    assert nearest.isfinite().tolist() == [False, True] * 4


def _projected(change, image, radius, geometry):
    if geometry.name == "linf":
        change = change.clamp(-radius, radius)
    elif float(change.norm()) > radius:
        change = change * (radius / float(change.norm()))
    return (image + change).clamp(0, 1)


def _transcribed(net, image, label, geometry, *, steps):
    """Pintor et al., algorithm 1, for one row; every iterate."""
    best, ball, norms = math.inf, math.inf, {"linf": math.inf, "l2": 2}
    order = norms[geometry.name]
    dual = {"linf": 1, "l2": 2}[geometry.name]
    point, iterates = image, []
    for step in range(steps):
        iterates.append(point)
        asked = point.clone().requires_grad_(True)
        logits = net(asked[None])[0]
        loss = torch.cat((logits[:label], logits[label + 1 :])).max() - logits[label]
        gradient, value = torch.autograd.grad(loss, asked)[0], float(loss.detach())
        falling = (1 + math.cos(math.pi * step / steps)) / 2
        gamma, alpha = 0.001 + (0.05 - 0.001) * falling, 0.01 + (1 - 0.01) * falling
        norm = float(torch.linalg.vector_norm((point - image).flatten(), ord=order))
        if value > 0:
            best = min(best, norm)
            ball = min(ball * (1 - gamma), best)
        elif best < math.inf:
            ball = ball * (1 + gamma)
        else:
            slope = float(torch.linalg.vector_norm(gradient.flatten(), ord=dual))
            ball = (norm + abs(value) / slope) * (1 + gamma)  # the factor is not the paper's
        point = _projected(point + alpha * gradient / gradient.norm() - image, image, ball, geometry)
    return iterates


@pytest.mark.parametrize("geometry", [Linf(), L2()], ids=["linf", "l2"])
def test_agrees_with_the_papers_algorithm_row_by_row(geometry):
    net, pixels = conv_net(), images(5, seed=41)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(predictions(net, pixels))
    found = passes(Fmn(), net, clean, labels, geometry=geometry, radius=torch.full((5,), ENDLESS), steps=25)
    found = [seen.images for seen, _ in found]
    for row in range(5):
        for number, point in enumerate(_transcribed(net, clean[row], int(labels[row]), geometry, steps=25)):
            torch.testing.assert_close(found[number][row], point, rtol=0, atol=1e-5)


@EVERY_NORM
def test_small_changes_are_never_scaled_up(geometry, dual):
    """A library clamps the change instead of the factor: a norm of 0.1 becomes 1."""
    clean = torch.full((1, 1, 4, 4), 0.5)
    change = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(3)) - 0.5
    points = clean + change * (0.1 / geometry.norm(change))
    one, none = torch.ones(1), torch.zeros(1, dtype=torch.int64)
    seen = Pass(
        images=points, clean=clean, gradient=torch.zeros_like(clean), loss=-one, met=one < 0, radius=one,
        step_size=one, step=none.int(), seeds=none, order=none, mask=torch.ones(1, 1, 1, 1),
    )  # fmt: skip
    memory = {"ball": one, "nearest": torch.full((1,), torch.inf)}
    following, after = Fmn().advance(seen, memory, geometry, 10)
    assert after["ball"].tolist() == [1]
    torch.testing.assert_close(following, points, rtol=0, atol=1e-6)


def test_gradients_and_scores_that_are_no_numbers_leave_the_row_in_its_ball():
    net, _, clean, labels, _ = _linear(count=3)

    def flat(shown):
        return net(shown) * torch.tensor([0.0, 1.0, torch.nan])[:, None]

    for seen, memory in passes(Fmn(), flat, clean, labels, geometry=L2(), radius=torch.full((3,), 0.5), steps=20):
        if int(seen.step[0]) == 0:
            continue
        assert bool(memory["ball"].isfinite().all()) and bool((memory["ball"] <= 0.5).all())
        assert torch.equal(seen.images[0], clean[0])
        assert not torch.equal(seen.images[1], clean[1])


def test_values_outside_the_mask_never_change_and_the_rest_finds_its_own_minimum():
    net, weight, clean, labels, gap = _linear()
    mask = torch.zeros(8, 1, 8, 8)
    mask[:, :, :5] = 1
    smallest = gap / weight.view(8, 8)[:5].norm()
    for seen, _ in passes(
        Fmn(), net, clean, labels, geometry=L2(), radius=torch.full((8,), ENDLESS), steps=20, mask=mask
    ):
        assert torch.equal(seen.images * (1 - mask), clean * (1 - mask))
    nearest = _nearest(net, clean, labels, L2(), mask=mask)
    assert float((nearest / smallest).max()) < 1.03 and bool((nearest >= smallest * (1 - 1e-4)).all())


def test_a_row_searches_alike_in_any_company():
    net, pixels = conv_net(), images(6, seed=43)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(predictions(net, pixels))
    whole = _nearest(net, clean, labels, L2(), steps=40)
    assert bool(whole.isfinite().all())
    turned = _nearest(net, clean.flip(0), labels.flip(0), L2(), steps=40)
    torch.testing.assert_close(turned.flip(0), whole, rtol=1e-4, atol=0)
    torch.testing.assert_close(_nearest(net, clean[2:3], labels[2:3], L2(), steps=40)[0], whole[2], rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_stored_rows_are_about_as_near_as_the_boundary(norm):
    """Linf: on the first level beyond the boundary. L2 and L1: within one level of one value of the boundary."""
    net, _, clean, _, _ = _linear(side=6, count=12)
    pixels = (clean * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    labels = predictions(net, pixels)
    logits = net(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    geometry, dual = GEOMETRIES[norm]
    smallest = (logits[:, 1] - logits[:, 0]).abs() / torch.linalg.vector_norm(net.weight, ord=dual)
    eps = {"linf": "16/255", "l2": 0.5, "l1": 6.0}[norm]
    made = recipe(net, classes=2, name="fmn", norm=norm, eps=eps, steps=200).make(
        rows(pixels, labels), seeds(12)[:, None]
    )
    stored = torch.from_numpy(made.pixels).permute(0, 3, 1, 2).float() / 255
    assert (predictions(net, made.pixels) != labels).all()
    levels = 255 * geometry.norm(stored - torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    if norm == "linf":
        assert torch.equal(levels.round(), (smallest * 255).ceil())
    else:
        assert bool((levels > smallest * 255).all()) and float((levels - smallest * 255).max()) < 1
