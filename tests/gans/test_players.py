"""The players: what a step does, and that a state holds all that the next one reads."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hardset.pipeline.gans import players as module
from hardset.pipeline.gans.players import LAST_RATE, PENALISED_EVERY, Players
from hardset.pipeline.gans.settings import resolved
from hardset.pipeline.gans.shape import Shape
from hardset.schemas.job.gan_training import GanTraining

CPU = torch.device("cpu")
SHAPE = Shape(3, 8, 8, 1, latent=6, features=8)
BATCH = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def new(**given: object) -> Players:
    torch.manual_seed(0)
    settings = GanTraining.model_validate({"steps": 40, "batch": 8, "latent": 6, "features": 8, **given})
    return Players.new(SHAPE, resolved(settings, SHAPE, device=CPU), CPU)


@pytest.mark.parametrize("loss", ["relativistic", "hinge"])
def test_a_state_gives_the_steps_that_would_have_followed(loss: str) -> None:
    one, other = new(loss=loss), new(loss=loss)
    for number in (1, 2, 3):
        one.step(number, *BATCH)
    state = one.state()
    losses = [one.step(number, *BATCH) for number in (4, 5)]
    torch.manual_seed(99)
    other.restore(state)
    again = [other.step(number, *BATCH) for number in (4, 5)]
    assert all(torch.equal(a, b) for a, b in zip(losses, again, strict=True))
    ended, ended_again = one.state(), other.state()
    assert ended.keys() == ended_again.keys()
    assert all(torch.equal(tensor, ended_again[name]) for name, tensor in ended.items())


def test_a_state_is_a_copy() -> None:
    players = new()
    before = players.state()
    kept = {name: tensor.clone() for name, tensor in before.items()}
    players.step(1, *BATCH)
    assert all(torch.equal(before[name], kept[name]) for name in kept)


def test_rates_fall_along_a_cosine_to_a_twentieth() -> None:
    players = new(generator_rate=1.0, discriminator_rate=2.0)
    for number, share in ((1, 1.0), (21, (1 + LAST_RATE) / 2), (41, LAST_RATE)):
        players.step(number, *BATCH)
        assert players.generator_optimiser.param_groups[0]["lr"] == pytest.approx(share)
        assert players.discriminator_optimiser.param_groups[0]["lr"] == pytest.approx(2 * share)
    players.step(1, *BATCH, slower=0.5)
    assert players.generator_optimiser.param_groups[0]["lr"] == pytest.approx(0.5)
    assert math.isclose(LAST_RATE, 1 / 20)


def test_the_penalty_comes_every_fourth_step_and_weighs_as_much_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def penalty(scores: Tensor, images: Tensor) -> Tensor:
        assert images.requires_grad and len(images) == 16
        asked.append(number)
        return scores.sum() * 0 + 1_000

    monkeypatch.setattr(module, "squared_slopes", penalty)
    players, losses = new(gamma=0.5, precision="float32"), []
    for number in range(1, 10):
        losses.append(players.step(number, *BATCH)[0].item())
    assert asked == [1, 5, 9] and PENALISED_EVERY == 4
    for number, loss in enumerate(losses, 1):
        assert (loss > 999) == (number in asked)
        if number in asked:
            assert loss == pytest.approx(4 * 0.5 / 2 * 1_000, abs=5)


def test_hinge_has_no_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "squared_slopes", lambda *_: pytest.fail("penalised"))
    new(loss="hinge").step(1, *BATCH)


def test_only_the_player_whose_turn_it_is_moves() -> None:
    players = new(generator_rate=1e-9, discriminator_rate=1e-2)
    before = players.state()
    players.step(1, *BATCH)
    after = players.state()
    moved = {
        player: max(
            (after[name] - before[name]).abs().max().item()
            for name in before
            if name.startswith(f"{player}.") and name.endswith("weight")
        )
        for player in ("generator", "discriminator")
    }
    assert moved["generator"] < 1e-7 and moved["discriminator"] > 5e-3


def test_half_of_the_images_are_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    players = new(flip=True, augment=False, precision="float32")
    players.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    real = BATCH[0].repeat(8, 1, 1, 1)
    players.step(1, real, torch.arange(64) % 3)
    mirrored = [(torch.equal(a, b), torch.equal(a.flip(2), b)) for a, b in zip(real, seen[0][:64], strict=True)]
    assert all(plain != flipped for plain, flipped in mirrored)
    assert 15 < sum(flipped for _, flipped in mirrored) < 49
