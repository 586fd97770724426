"""L0: pixels are counted exactly, what is kept is the nearest, and attacks find what an exhaustive search finds."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.attacks import grid
from hardset.pipeline.attacks.fmn import FmnPixels
from hardset.pipeline.attacks.l0 import L0, check_budget
from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.judging.judge import pixels_changed, within_budget
from hardset.pipeline.planning.plan import make_plan
from hardset.schemas.errors import JobError
from hardset.schemas.job.recipes import Attack
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Image
from tests.attacks.nets import CPU

KEYS = torch.arange(6) * 7919


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_a_projection_keeps_the_pixels_that_make_it_the_nearest():
    clean, images = drawn(4, 3, 2, 3), drawn(4, 3, 2, 3, seed=1) * 3 - 1
    inside = images.clamp(0, 1)
    for most in range(7):
        got = L0().project(images, clean, torch.full((4,), float(most)))
        for row in range(4):
            apart = []
            for kept in combinations(range(6), most):
                mask = torch.zeros(6).index_fill_(0, torch.tensor(kept, dtype=torch.int64), 1).view(1, 2, 3)
                apart.append(float((torch.where(mask > 0, inside[row], clean[row]) - images[row]).norm()))
            assert float((got[row] - images[row]).norm()) == pytest.approx(min(apart), rel=1e-6)
            assert int((got[row] != clean[row]).any(dim=0).sum()) <= most


def test_among_pixels_that_move_alike_the_first_are_kept():
    mask = grid.most_changed(torch.ones(1, 3, 2, 4), torch.tensor([3]))
    assert mask.flatten().tolist() == [True] * 3 + [False] * 5


def test_starts_lie_in_the_ball_and_under_the_mask_and_differ():
    clean, radius = torch.full((6, 3, 4, 4), 0.5), torch.tensor([0.0, 1, 2, 5, 16, 99])
    first = L0().start(clean, radius, KEYS, torch.zeros(6, dtype=torch.int64))
    assert L0().norm(first - clean).tolist() == [0, 1, 2, 5, 16, 16]
    again = L0().start(clean, radius, KEYS, torch.ones(6, dtype=torch.int64))
    assert not torch.equal(first[4], again[4])
    mask = torch.zeros(6, 1, 4, 4)
    mask[:, :, :2, :2] = 1
    masked = L0().start(clean, radius, KEYS, torch.zeros(6, dtype=torch.int64), mask)
    assert L0().norm(masked - clean).tolist() == [0, 1, 2, 4, 4, 4]
    assert torch.equal(masked * (1 - mask), clean * (1 - mask))


def test_the_steepest_pixel_is_the_one_with_most_to_gain():
    images = torch.tensor([0.9, 0.2, 0.5]).view(1, 1, 1, 3)
    gradient = torch.tensor([3.0, 1.0, -1.0]).view(1, 1, 1, 3)  # gains 0.3, 0.8 and 0.5
    got = L0().steepest(gradient, images, torch.ones(1))
    torch.testing.assert_close(got.flatten(), torch.tensor([0.0, 0.8, 0.0]))
    assert not L0().steepest(torch.zeros_like(gradient), images, torch.ones(1)).any()


def test_pixels_are_counted_alike_in_channels_rows_and_levels():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (20, 5, 4, 3), dtype=np.uint8)
    stored = np.where(rng.random(clean.shape) < 0.2, rng.integers(0, 256, clean.shape), clean).astype(np.uint8)
    plain = [sum(bool((a != b).any()) for a, b in zip(one.reshape(-1, 3), two.reshape(-1, 3), strict=True))
             for one, two in zip(stored, clean, strict=True)]  # fmt: skip
    assert pixels_changed(stored, clean).tolist() == plain
    tensors = [torch.from_numpy(part).permute(0, 3, 1, 2) for part in (stored, clean)]
    assert grid.spent(tensors[0].float() - tensors[1].float(), "l0").tolist() == plain
    for slack, holds in ((0, True), (-1, False)):
        budget = np.array(plain, np.float64) + slack
        assert (within_budget(stored, clean, "l0", budget) == holds).all()
        whole = torch.from_numpy(L0().budget(budget))
        assert (grid.within(*tensors, whole, "l0") == holds).all()


def test_rounding_stores_no_pixel_beyond_the_budget_and_none_that_rounds_to_the_clean_one():
    levels = torch.full((1, 1, 1, 4), 100.0)
    images = (levels + torch.tensor([0.4, 3.0, -9.0, 5.0])) / 255
    assert grid.round_l0(images, levels, torch.tensor([2])).flatten().tolist() == [100, 100, 91, 105]
    assert grid.round_l0(images, levels, torch.tensor([4])).flatten().tolist() == [100, 103, 91, 105]


class Linear(nn.Module):
    """Logits that are linear in 8 pixels."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8, generator=torch.Generator().manual_seed(seed)))
        self.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight.T


def fewest(net: Linear, image: np.ndarray, label: int) -> int:
    """Fewest of 8 pixels whose change makes another class win, by trying all subsets; 9 where none does.

    For a linear rival all that a pixel can do for it is done at a border of the box.
    """
    weight, values = net.weight.double().numpy(), image.reshape(8) / 255
    logits = weight @ values
    best = 9
    for rival in set(range(4)) - {label}:
        slope = weight[rival] - weight[label]
        gain = np.where(slope > 0, slope * (1 - values), -slope * values)
        for count in range(1, 9):
            most = max(gain[list(chosen)].sum() for chosen in combinations(range(8), count))
            if logits[rival] - logits[label] + most > 1e-6:
                best = min(best, count)
                break
    return best


@pytest.mark.parametrize(("name", "equal"), [("sigma_zero", 0.75), ("fmn", 0.6)])
def test_attacks_find_what_an_exhaustive_search_of_8_pixels_finds(name, equal):
    net, rng = Linear(3), np.random.default_rng(1)
    pixels = rng.integers(0, 256, (40, 2, 4, 1), dtype=np.uint8)
    labels = net(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    recipe = AttackRecipe(Attack(name=name, norm="l0", eps=8, steps=200), module=net, classes=4, batch=40, device=CPU)
    rows = CleanRows(pixels, labels, tuple(map(str, range(40))), np.arange(40))
    made = recipe.make(rows, np.arange(40)[:, None])
    fell = net(torch.from_numpy(made.pixels).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy() != labels
    counts, least = (
        pixels_changed(made.pixels, pixels),
        np.array([fewest(net, *one) for one in zip(pixels, labels, strict=True)]),
    )
    assert (counts[fell] >= least[fell]).all()
    assert len(set(least.tolist())) > 1
    assert (fell & (counts == least)).sum() >= equal * (least <= 8).sum()


@pytest.mark.parametrize("eps", ["1/2", 2.5, [1, 2.5], {"min": 1, "max": 2.5}])
def test_a_budget_is_a_whole_number_of_pixels(eps):
    with pytest.raises(ValueError, match="in L0 a budget is a whole number of pixels"):
        Attack(name="fast", norm="l0", eps=eps)


def test_a_budget_above_the_image_is_refused_before_anything_is_made(tmp_path):
    def document(eps: int) -> dict[str, object]:
        return {
            "name": "a",
            "source": {"format": "digits"},
            "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10, "weights": "w.safetensors"},
            "recipes": [{"kind": "attack", "name": "fast", "norm": "l0", "eps": eps}],
            "output": {"path": str(tmp_path)},
        }

    with pytest.raises(JobError, match=r"^recipes.0.eps: got 65; images of 8 x 8 have 64 pixels$"):
        make_plan(parse_job(document(65)))


def test_a_budget_of_the_whole_image_is_none_too_many():
    check_budget("l0", Fraction(64), Image(height=8, width=8, channels=1), at="eps")
    check_budget("l2", Fraction(65), Image(height=8, width=8, channels=1), at="eps")


def test_the_ball_of_fmn_shrinks_after_a_fall_and_grows_otherwise_by_a_share_and_one_pixel_at_least():
    seen = SimpleNamespace(met=torch.tensor([True, True, True, False, False]))
    ball = torch.tensor([100.0, 2.0, 100.0, 100.0, 2.0])
    nearest = torch.tensor([100.0, 2.0, 40.0, torch.inf, torch.inf])
    change, unused = torch.full((5,), 0.25), torch.zeros(5)
    found = FmnPixels().next_ball(seen, ball, nearest, unused, change, L0())
    assert found.tolist() == [75, 1, 40, 125, 3]
