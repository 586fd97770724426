"""Losses and the gradient penalty against their formulas, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hardset.pipeline.gans.losses import LOSSES, squared_slopes

REAL = torch.tensor([2.0, -0.5, 0.3, 1.0], dtype=torch.float64)
MADE = torch.tensor([-2.0, 0.5, 0.9, -1.0], dtype=torch.float64)


def test_hinge_is_the_formula_of_lim_and_ye() -> None:
    real, made = REAL.numpy(), MADE.numpy()
    wanted = np.mean(np.maximum(0, 1 - real)) + np.mean(np.maximum(0, 1 + made))
    assert LOSSES["hinge"].discriminator(REAL, MADE).item() == pytest.approx(wanted, rel=1e-12)
    assert LOSSES["hinge"].generator(REAL, MADE).item() == pytest.approx(-made.mean(), rel=1e-12)


def test_relativistic_is_the_logistic_loss_of_the_difference_of_each_pair() -> None:
    real, made = REAL.numpy(), MADE.numpy()
    loss = LOSSES["relativistic"]
    sigmoid = 1 / (1 + np.exp(-(real - made)))
    assert loss.discriminator(REAL, MADE).item() == pytest.approx(-np.log(sigmoid).mean(), rel=1e-12)
    assert loss.generator(REAL, MADE).item() == pytest.approx(-np.log(1 - sigmoid).mean(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_players_want_opposite_things(name: str) -> None:
    made = MADE.clone().requires_grad_(True)
    (up,) = torch.autograd.grad(LOSSES[name].generator(REAL, made), made)
    (down,) = torch.autograd.grad(LOSSES[name].discriminator(REAL, made), made)
    assert (up < 0).all() and (down >= 0).all() and down.sum() > 0


def curved(images: Tensor) -> Tensor:
    return (images**3).sum((1, 2, 3)) + images[:, 0, 0, 0] * images[:, 0, 1, 1]


def test_squared_slopes_are_r1_and_r2_of_levels_in_minus_one_to_one() -> None:
    """By central differences of the scores, as a function of 2 x - 1."""
    images = torch.rand(6, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step, total = 1e-5, np.zeros(6)
    for place in np.ndindex(1, 2, 3):
        moved = [images.clone(), images.clone()]
        moved[0][(slice(None), *place)] += step / 2  # a step of `step` in 2 x - 1
        moved[1][(slice(None), *place)] -= step / 2
        total += ((curved(moved[0]) - curved(moved[1])) / (2 * step)).numpy() ** 2
    r1, r2 = total[:3].mean(), total[3:].mean()
    images.requires_grad_(True)
    assert squared_slopes(curved(images), images).item() == pytest.approx(r1 + r2, rel=1e-5)


def test_the_penalty_reaches_the_weights() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.rand(4, 1, 2, 2, requires_grad=True)
    penalty = squared_slopes((weight * images).sum((1, 2, 3)), images)
    (slope,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == pytest.approx(2 * 4 * 9 / 4) and slope.item() == pytest.approx(2 * 4 * 6 / 4)
