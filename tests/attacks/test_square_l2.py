"""The square attack's L2 proposals beside the paper's loops, and what holds of every one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hardset.pipeline.attacks.geometries import L2
from hardset.pipeline.attacks.square import Square
from tests.attacks.drive import passes
from tests.attacks.nets import TwoClassLinear, conv_net, images, predictions


def _setting(count=6, channels=3, side=8):
    net, pixels = conv_net(channels=channels), images(count, channels=channels, side=side, seed=47)
    clean = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return net, clean, torch.from_numpy(predictions(net, pixels))


def _run(net, clean, labels, radius, steps, **others):
    radius = torch.full((len(clean),), radius)
    return list(passes(Square(), net, clean, labels, geometry=L2(), radius=radius, steps=steps, **others))


def test_climbs_a_linear_model_far_above_random_directions():
    """The optimum rises by radius * |w|; single pixels, of which it also consists, are below the smallest bump."""
    generator = torch.Generator().manual_seed(2)
    weight, clean = torch.randn(64, generator=generator), torch.full((4, 1, 8, 8), 0.5)
    net, labels = TwoClassLinear(weight, 10.0), torch.ones(4, dtype=torch.int64)
    found = _run(net, clean, labels, 0.3, 400)
    risen = (found[-1][1]["best_loss"] - found[0][0].loss) / (0.3 * weight.norm())
    directions = torch.nn.functional.normalize(torch.randn(400, 64, generator=generator))
    random = float((directions @ weight).max() / weight.norm())
    assert 1.4 * random < float(risen.min()) and float(risen.max()) <= 1


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**62), st.floats(0.05, 4.0))
def test_every_proposal_lies_in_ball_box_and_mask(channels, height, width, seed, radius):
    generator = torch.Generator().manual_seed(seed % 2**31)
    clean = torch.rand(3, channels, height, width, generator=generator)
    mask = torch.ones(3, 1, height, width)
    mask[1] = (torch.rand(1, height, width, generator=generator) < 0.5).float()
    mask[2] = 0
    net = TwoClassLinear(torch.randn(channels * height * width, generator=generator), 0.0)
    labels = net(clean).argmax(dim=1)
    seeds = torch.tensor([seed, seed + 1, seed ^ 12345])
    for seen, memory in _run(net, clean, labels, radius, 30, mask=mask, seeds=seeds):
        assert seen.images.min() >= 0 and seen.images.max() <= 1
        assert bool((L2().norm(seen.images - clean) <= radius * (1 + 1e-5)).all())
        assert torch.equal(seen.images * (1 - mask), clean * (1 - mask))
        assert bool(memory["best"].isfinite().all())


def test_a_row_searches_alike_in_any_company():
    net, clean, labels = _setting()
    seeds = torch.arange(6) * 12345678901
    whole = _run(net, clean, labels, 0.8, 30, seeds=seeds)[-1][0].images
    turned = _run(net, clean.flip(0), labels.flip(0), 0.8, 30, seeds=seeds.flip(0))[-1][0].images
    alone = _run(net, clean[4:5], labels[4:5], 0.8, 30, seeds=seeds[4:5])[-1][0].images
    torch.testing.assert_close(turned.flip(0), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone[0], whole[4], rtol=0, atol=1e-5)
