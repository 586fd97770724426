"""Momentum and Nesterov steps beside the papers' loops, written out for one row."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.momentum import Momentum
from tests.attacks.drive import passes
from tests.attacks.nets import conv_net, images, predictions

STEPS = 12


def _gradient(net, point, label):
    point = point.detach().requires_grad_(True)
    return torch.autograd.grad(F.cross_entropy(net(point), label[None]), point)[0]


def _textbook(net, image, label, *, decay, step, radius, nesterov):
    """Dong et al. 2018, algorithm 1, and Lin et al. 2020, equations 6 to 8, in Linf; every iterate."""
    clean, velocity, iterates = image[None], torch.zeros_like(image[None]), []
    point = clean
    for _ in range(STEPS):
        iterates.append(point[0])
        ahead = point + step * decay * velocity if nesterov else point
        gradient = _gradient(net, ahead, label)
        velocity = decay * velocity + gradient / gradient.abs().mean()
        point = point + step * velocity.sign()
        point = torch.min(torch.max(point, clean - radius), clean + radius).clamp(0, 1)
    return iterates


def _setting(count=6):
    net, pixels = conv_net(), images(count, seed=31)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return net, clean, torch.from_numpy(predictions(net, pixels))


def _run(schedule, net, clean, labels, geometry, radius, step):
    count = len(clean)
    found = passes(
        schedule, net, clean, labels, geometry=geometry, radius=torch.full((count,), radius), steps=STEPS,
        step_size=torch.full((count,), step), objective=objectives.cross_entropy,
    )  # fmt: skip
    return [seen.images for seen, _ in found]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_agrees_with_the_textbook_step_for_step(decay, nesterov):
    net, clean, labels = _setting()
    step, radius = 4 / 255, 20 / 255
    found = _run(Momentum(decay, nesterov), net, clean, labels, Linf(), radius, step)
    for row in range(len(clean)):
        expected = _textbook(net, clean[row], labels[row], decay=decay, step=step, radius=radius, nesterov=nesterov)
        for number, iterate in enumerate(expected):
            torch.testing.assert_close(found[number][row], iterate, rtol=0, atol=1e-6)


def test_gradients_are_added_up_and_not_their_signs():
    """A library's bug: with signs, the two small gradients would outvote the large one."""
    gradients = torch.tensor([[5.0, 1.0], [-0.1, 1.0], [-0.1, 1.0]])[:, None, None]

    def net(shown):
        step = next(steps)
        return torch.cat(((shown * gradients[step]).flatten(1).sum(dim=1, keepdim=True), torch.zeros(1, 1)), dim=1)

    steps = iter([0, 0, 1, 1, 2, 2, 2, 2])  # each pass asks twice: at the probe and at the iterate
    clean = torch.full((1, 1, 1, 2), 0.5)

    def first_logit(logits, goal):
        return logits[:, 0]

    found = passes(
        Momentum(), net, clean, torch.tensor([0]), geometry=Linf(), radius=torch.tensor([0.4]), steps=4,
        step_size=torch.tensor([0.1]), objective=first_logit,
    )  # fmt: skip
    last = [seen.images.flatten().tolist() for seen, _ in found][-1]
    assert last == pytest.approx([0.8, 0.8])


def test_without_memory_it_is_the_plain_step():
    net, clean, labels = _setting()
    found = _run(Momentum(decay=0.0), net, clean, labels, Linf(), 20 / 255, 4 / 255)
    for row, image in enumerate(clean):
        point = image[None]
        for number in range(STEPS):
            torch.testing.assert_close(found[number][row], point[0], rtol=0, atol=1e-6)
            point = point + 4 / 255 * _gradient(net, point, labels[row]).sign()
            point = torch.min(torch.max(point, image - 20 / 255), image + 20 / 255).clamp(0, 1)


def test_the_look_ahead_stays_of_the_order_of_the_ball_in_l2():
    net, clean, labels = _setting()
    geometry, radius, step = L2(), torch.full((len(clean),), 0.5), torch.full((len(clean),), 0.1)
    schedule, lengths = Momentum(nesterov=True), []
    for seen, memory in passes(
        schedule, net, clean, labels, geometry=geometry, radius=radius, steps=STEPS, step_size=step
    ):
        lengths.append(geometry.norm(schedule.probe(seen.images, step, memory) - seen.images))
    assert lengths[0].max() == 0
    # A velocity that never turns grows by one step with every pass; no gradient here is sparse enough for twice that.
    assert all(float(length.min()) > 0.05 and float(length.max()) < 0.2 * k for k, length in enumerate(lengths) if k)


def test_rows_without_a_gradient_stay_where_they_are():
    clean = torch.full((2, 1, 2, 2), 0.5)

    def flat(shown):
        return shown.flatten(1)[:, :2] * 0

    found = passes(
        Momentum(nesterov=True), flat, clean, torch.zeros(2, dtype=torch.int64), geometry=Linf(),
        radius=torch.full((2,), 0.1), steps=4,
    )  # fmt: skip
    assert all(torch.equal(seen.images, clean) for seen, _ in found)


def test_a_row_moves_alike_in_any_company():
    net, clean, labels = _setting()
    whole = _run(Momentum(nesterov=True), net, clean, labels, L2(), 0.5, 0.1)[-1]
    turned = _run(Momentum(nesterov=True), net, clean.flip(0), labels.flip(0), L2(), 0.5, 0.1)[-1]
    torch.testing.assert_close(turned.flip(0), whole, rtol=0, atol=1e-6)
    alone = _run(Momentum(nesterov=True), net, clean[2:3], labels[2:3], L2(), 0.5, 0.1)[-1]
    torch.testing.assert_close(alone[0], whole[2], rtol=0, atol=1e-5)


def test_the_look_ahead_is_cut_to_the_box_for_rows_that_met_a_gradient_without_a_number_alone():
    schedule = Momentum(decay=1.0, nesterov=True)
    images, step = torch.full((2, 1, 1, 2), 0.5), torch.ones(2)
    velocity = torch.tensor([0.7, -0.2]).view(1, 1, 1, 2).expand(2, 1, 1, 2)
    memory = {"velocity": velocity, "reach": torch.ones(2), "boxed": torch.tensor([False, True])}
    free, boxed = schedule.probe(images, step, memory)
    torch.testing.assert_close(free.flatten(), torch.tensor([1.2, 0.3]))
    torch.testing.assert_close(boxed.flatten(), torch.tensor([1.0, 0.3]))
