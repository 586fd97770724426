"""Square attack: solved linear models, a row-by-row transcription, and what holds of every proposal."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hardset.pipeline.attacks.geometries import Linf
from hardset.pipeline.attacks.square import Square
from tests.attacks.drive import passes
from tests.attacks.nets import TwoClassLinear, conv_net, images, predictions


def _linear(count=4, channels=1, side=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(channels * side * side, generator=generator)
    clean = torch.rand(count, channels, side, side, generator=generator)
    net = TwoClassLinear(weight, -float((clean.flatten(1) @ weight).mean()))
    return net, weight.view(1, channels, side, side), clean, net(clean).argmax(dim=1)


def _setting(count=6, channels=3, side=8):
    net, pixels = conv_net(channels=channels), images(count, channels=channels, side=side, seed=37)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return net, clean, torch.from_numpy(predictions(net, pixels))


def _run(net, clean, labels, radius, steps, **others):
    radius = torch.full((len(clean),), radius) if isinstance(radius, float) else radius
    return list(passes(Square(), net, clean, labels, geometry=Linf(), radius=radius, steps=steps, **others))


@pytest.mark.parametrize(("channels", "side"), [(1, 4), (3, 3)])
def test_solves_a_linear_model_to_the_corner(channels, side):
    net, weight, clean, labels = _linear(channels=channels, side=side)
    last = _run(net, clean, labels, 0.2, 500)[-1][1]
    downhill = torch.where(labels[:, None, None, None] == 0, weight.sign(), -weight.sign())
    torch.testing.assert_close(last["best"], (clean + 0.2 * downhill).clamp(0, 1), rtol=0, atol=1e-6)


def test_the_first_passes_see_the_start_then_stripes():
    net, clean, labels = _setting()
    start = (clean + 0.03).clamp(0, 1)
    found = _run(net, clean, labels, 0.1, 3, start=start)
    assert torch.equal(found[0][0].images, start)
    stripes = found[1][0].images
    inside = (clean > 0.1) & (clean < 0.9)
    change = torch.where(inside, stripes - clean, torch.nan)
    assert torch.allclose(change.abs()[inside], torch.tensor(0.1))
    spread = change.nan_to_num(-1).amax(dim=2) * change.nan_to_num(1).amin(dim=2)
    assert bool((spread[inside.any(dim=2)] > 0).all())  # each column of each channel has one sign
    assert len(stripes.sub(clean).sign().unique()) >= 2


def test_sides_follow_the_papers_times():
    steps = 10_000
    done = torch.tensor([q + 1 for q in (0, 10, 11, 50, 51, 200, 201, 500, 501, 1001, 2001, 4001, 6001, 8001)])
    sides = Square().sides(done, steps, 224, 224).tolist()
    shares = (1, 1, 2, 2, 4, 4, 8, 8, 16, 32, 64, 128, 256, 512)
    assert sides == [round(math.sqrt(0.8 / share) * 224) for share in shares]
    assert torch.equal(Square().sides(done // 10 * 10, steps, 32, 32), Square().sides(done // 10, steps // 10, 32, 32))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**62), st.floats(0.01, 1.0),
    st.booleans(),
)  # fmt: skip
def test_every_proposal_lies_in_ball_box_and_mask_and_changes_something(channels, height, width, seed, radius, masked):
    generator = torch.Generator().manual_seed(seed % 2**31)
    clean = torch.rand(3, channels, height, width, generator=generator) * 0.98 + 0.01
    mask = torch.ones(3, 1, height, width)
    if masked:
        mask = (torch.rand(3, 1, height, width, generator=generator) < 0.7).float()
    net = TwoClassLinear(torch.randn(channels * height * width, generator=generator), 0.0)
    labels, radii = net(clean).argmax(dim=1), torch.full((3,), radius)
    found = passes(
        Square(), net, clean, labels, geometry=Linf(), radius=radii, steps=40, mask=mask,
        seeds=torch.tensor([seed, seed + 1, seed ^ 12345]),
    )  # fmt: skip
    for seen, memory in found:
        assert seen.images.min() >= 0 and seen.images.max() <= 1
        assert (seen.images - clean).abs().max() <= radius + 1e-6
        assert torch.equal(seen.images * (1 - mask), clean * (1 - mask))
        ends = (clean - radius).clamp(min=0), (clean + radius).clamp(max=1)
        at_end = torch.isclose(seen.images, ends[0]) | torch.isclose(seen.images, ends[1])
        assert bool((at_end | (seen.images == memory["best"])).all())
        if not masked and int(seen.step[0]) > 1:
            assert bool((seen.images != memory["best"]).flatten(1).any(dim=1).all())


def test_every_place_is_reached():
    """The authors' program never draws the last row or column."""
    clean = torch.full((400, 1, 5, 5), 0.5)
    net = TwoClassLinear(torch.zeros(25), 1.0)
    touched = torch.zeros(5, 5)
    for seen, memory in passes(
        Square(), net, clean, torch.ones(400, dtype=torch.int64), geometry=Linf(), radius=torch.full((400,), 0.1),
        steps=200,
    ):  # fmt: skip
        if int(seen.step[0]) == 199:
            touched = (seen.images != memory["best"]).float().sum(dim=(0, 1))
    assert touched.min() > 4  # squares of one pixel: 16 of 400 on average


def test_a_search_never_falls_back_and_ignores_scores_that_are_no_numbers():
    net, clean, labels = _setting()
    asked = iter(range(1000))

    def flaky(shown):
        logits = net(shown)
        return logits * torch.nan if next(asked) % 3 == 2 else logits

    found = _run(flaky, clean, labels, 0.1, 60)
    losses = torch.stack([memory["best_loss"] for _, memory in found[1:]])
    assert bool((losses[1:] >= losses[:-1]).all()) and bool(losses.isfinite().all())
    assert bool((losses[-1] > losses[0]).all())
    torch.testing.assert_close(
        found[-1][1]["best_loss"],
        torch.stack([seen.loss.nan_to_num(-torch.inf) for seen, _ in found[:-1]]).amax(dim=0),
    )


def test_a_row_searches_alike_in_any_company_and_at_any_step_of_its_neighbours():
    net, clean, labels = _setting()
    seeds = torch.arange(6) * 12345678901
    whole = [seen.images for seen, _ in _run(net, clean, labels, 0.1, 30, seeds=seeds)]
    turned = [seen.images for seen, _ in _run(net, clean.flip(0), labels.flip(0), 0.1, 30, seeds=seeds.flip(0))]
    alone = [seen.images for seen, _ in _run(net, clean[4:5], labels[4:5], 0.1, 30, seeds=seeds[4:5])]
    for one, other, single in zip(whole, turned, alone, strict=True):
        assert torch.equal(other.flip(0), one)
        torch.testing.assert_close(single[0], one[4])
    early, late = _run(net, clean, labels, 0.1, 30, seeds=seeds)[3], _run(net, clean, labels, 0.1, 30, seeds=seeds)[17]
    split = torch.arange(6) % 2 == 0
    mixed, memory = (_either(split, *pair) for pair in zip(early, late, strict=True))
    expected = _either(split, whole[4], whole[18])
    assert torch.equal(Square().advance(mixed, memory, Linf(), 30)[0], expected)


def _either(choice, one, other):
    """Rows of one where chosen, else of the other: tensors, dictionaries of them, or passes."""
    if isinstance(one, torch.Tensor):
        if one.shape[:1] != choice.shape:
            return one
        return torch.where(choice.view(-1, *[1] * (one.dim() - 1)), one, other)
    if isinstance(one, dict):
        return {key: _either(choice, one[key], other[key]) for key in one}
    return type(one)(**{key: _either(choice, getattr(one, key), getattr(other, key)) for key in one.__dict__})
