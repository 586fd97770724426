"""A training tells, stops, goes on, goes back where it diverges, and keeps its best average."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from hardset.pipeline.gans.checkpoints import Checkpoint, decode_checkpoint, encode_checkpoint
from hardset.pipeline.gans.files import encode_generator
from hardset.pipeline.gans.generator import Card, Generator, Output
from hardset.pipeline.gans.networks import GeneratorNet
from hardset.pipeline.gans.players import Players
from hardset.pipeline.gans.selection import Measure
from hardset.pipeline.gans.shape import Shape
from hardset.pipeline.gans.training import Hooks, Stopped, grid, train_generator
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.gan_training import GanTraining
from tests.gans.conftest import TINY, Diverging, training_rows

CPU = torch.device("cpu")
LONGER = TINY.model_copy(update={"steps": 20})


def trained(
    hooks: Hooks | None = None, resume: Checkpoint | None = None, settings: GanTraining = LONGER, seed: int = 0
) -> Generator:
    pixels, labels = training_rows()
    return train_generator(
        pixels, labels, classes=3, settings=settings, seed=seed, device=CPU, hooks=hooks, resume=resume
    )


def card(generator: Generator) -> Card:
    assert isinstance(generator.card, Card)
    return generator.card


def figures(*pairs: tuple[float, float]) -> Iterator[tuple[float, float]]:
    yield from pairs


def measure_by_weights(generator: Generator) -> tuple[float, float]:
    """Figures that depend on the generator, and draw random numbers, as a model that answers at random does."""
    with torch.no_grad():
        made = generator.net(torch.randn(32, 6), torch.arange(32) % 3)
    return abs(made.mean().item() - 0.4973), 0.5


def test_every_step_is_heard_once() -> None:
    heard: list[tuple[int, int]] = []
    trained(Hooks(on_step=lambda *step: heard.append(step)), settings=TINY)
    assert heard == [(1, 2), (2, 2)]


@pytest.mark.parametrize("loss", ["relativistic", "hinge"])
@pytest.mark.parametrize("stops", [(1,), (3, 4, 11), (19,)], ids=str)
def test_an_interrupted_training_gives_the_same_file(stops: tuple[int, ...], loss: str) -> None:
    settings = LONGER.model_copy(update={"loss": loss, "augment": True, "flip": True})
    wanted = trained(Hooks(measure=measure_by_weights), settings=settings)
    kept: list[bytes] = []
    resume: Checkpoint | None = None
    for stop in stops:
        heard: list[int] = []
        hooks = Hooks(
            on_step=lambda step, _, heard=heard: heard.append(step),  # type: ignore[misc]
            measure=measure_by_weights,
            keep=lambda checkpoint: kept.append(encode_checkpoint(checkpoint)),
            stop=lambda heard=heard, stop=stop: heard[-1] >= stop,  # type: ignore[misc]
        )
        with pytest.raises(Stopped) as stopped:
            trained(hooks, resume, settings)
        assert (stopped.value.step, stopped.value.steps) == (stop, 20)
        resume = decode_checkpoint(kept[-1], name="x")
        assert resume.progress.step == stop
    found = trained(Hooks(measure=measure_by_weights), resume, settings)
    assert encode_generator(found) == encode_generator(wanted)


def test_a_checkpoint_of_the_end_only_has_to_be_saved() -> None:
    kept: list[Checkpoint] = []
    wanted = trained(Hooks(keep=kept.append))
    assert kept[-1].progress.step == 20
    heard: list[int] = []
    assert encode_generator(trained(Hooks(on_step=lambda step, _: heard.append(step)), kept[-1])) == encode_generator(
        wanted
    )
    assert heard == []


def test_what_is_heard_and_measured_changes_no_weight() -> None:
    """But which average is kept: here the last."""
    pairs = iter(range(9, 0, -1))
    watched = trained(Hooks(measure=lambda made: (float(next(pairs)), torch.rand(()).item() * 0 + 0.5)))
    assert encode_generator(watched) == encode_generator(trained())


def test_the_best_average_is_kept_and_not_the_last() -> None:
    averages: dict[int, dict[str, Tensor]] = {}
    found = figures((9, 0.5), (8, 0.6), (2, 0.3), (5, 0.6), (3, 0.55), (7, 0.6), (8, 0.6), (4, 0.5))
    heard: list[Measure] = []

    def measure(generator: Generator) -> tuple[float, float]:
        averages[card(generator).step or 0] = generator.net.state_dict()
        assert not generator.net.training
        return next(found)

    kept = trained(Hooks(measure=measure, on_measure=heard.append))
    assert [one.step for one in heard] == [3, 5, 8, 10, 13, 15, 18, 20] == list(averages)
    assert card(kept).step == 13  # step 8 is nearer, but has lost half of the recall
    state = kept.net.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in averages[13].items())
    assert any(not torch.equal(state[name], tensor) for name, tensor in averages[20].items())


def test_a_checkpoint_is_kept_after_each_measuring_and_every_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Players, "step", lambda *_, **__: torch.zeros(2))  # training takes longer than this test has
    now, kept = [0.0], list[int]()

    def tick(step: int, steps: int) -> None:
        now[0] += 3.1  # a checkpoint falls due at step 97, and is kept at the next check

    hooks = Hooks(on_step=tick, clock=lambda: now[0], keep=lambda checkpoint: kept.append(checkpoint.progress.step))
    trained(hooks, settings=LONGER.model_copy(update={"steps": 1_200}))
    assert kept == [100, 150, 250, 300, 400, 450, 550, 600, 700, 750, 850, 900, 1_000, 1_050, 1_150, 1_200]


def test_a_training_that_diverges_goes_back_with_half_the_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    diverging, back = Diverging(monkeypatch, 67), list[tuple[int, float]]()
    settings = LONGER.model_copy(update={"steps": 120})
    trained(Hooks(on_return=lambda *told: back.append(told), measure=measure_by_weights), settings=settings)
    assert back == [(60, 0.5)]  # measured at 60, checked again at 75
    assert diverging.slower == [(n, 1.0) for n in range(1, 76)] + [(n, 0.5) for n in range(61, 121)]


def test_what_was_measured_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    Diverging(monkeypatch, 67)
    found = figures((9, 0.5), (8, 0.5), (1, 0.5), (5, 0.5), (5, 0.5), (5, 0.5), (5, 0.5), (5, 0.5))
    kept = trained(Hooks(measure=lambda made: next(found)), settings=LONGER.model_copy(update={"steps": 120}))
    assert card(kept).step == 45


def test_a_training_that_diverges_again_and_again_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    Diverging(monkeypatch, -1)
    back: list[float] = []
    with pytest.raises(RunError, match=r"not finite at step 3, nor were they with rates 64 times as high; lower"):
        trained(Hooks(on_return=lambda _, slower: back.append(slower)))
    assert back == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]


def test_rates_that_cannot_be_end_it_too() -> None:
    with pytest.raises(RunError, match="not finite at step"):
        trained(settings=LONGER.model_copy(update={"generator_rate": 1e38, "discriminator_rate": 1e38}))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"settings": LONGER.model_copy(update={"gamma": 1.0})}], ids=str)
def test_a_checkpoint_of_another_training_is_refused(changes: dict[str, object]) -> None:
    kept: list[Checkpoint] = []
    trained(Hooks(keep=kept.append))
    with pytest.raises(JobError, match=f"of a training with other {next(iter(changes))}; remove it"):
        trained(resume=kept[0], **changes)  # type: ignore[arg-type]


def test_a_checkpoint_of_other_rows_is_refused() -> None:
    kept: list[Checkpoint] = []
    trained(Hooks(keep=kept.append))
    pixels, labels = training_rows(shape=(8, 8, 1), count=27)
    with pytest.raises(JobError, match="of a training with other rows; remove it"):
        train_generator(pixels, labels, classes=3, settings=LONGER, seed=0, device=CPU, resume=kept[0])


def timed(seconds: float, per_call: float, hooks: Hooks | None = None, resume: Checkpoint | None = None) -> Generator:
    now = [0.0]

    def clock() -> float:
        now[0] += per_call
        return now[0]

    settings = GanTraining(seconds=seconds, batch=8, latent=6, features=8)
    base = hooks or Hooks()
    return trained(Hooks(keep=base.keep, stop=base.stop, clock=clock), resume, settings)


def test_seconds_become_steps_that_are_recorded() -> None:
    """Each look at the clock takes 2.4 s: 24 steps of the trial then take 2.4 s, and the trial 4.8 s in all."""
    found = card(timed(7.2, 2.4)).training
    assert (found.steps, found.seconds) == (24, None)
    assert card(timed(0.1, 2.4)).training.steps == 1


def test_steps_that_were_worth_seconds_give_the_same_weights_at_any_speed() -> None:
    kept: list[Checkpoint] = []
    with pytest.raises(Stopped):
        timed(7.2, 2.4, Hooks(keep=kept.append, stop=lambda: True))
    slower = timed(7.2, 100.0, resume=kept[0])
    assert encode_generator(slower) == encode_generator(timed(7.2, 2.4))
    asked = LONGER.model_copy(update={"steps": 24})
    same = trained(settings=asked).net.state_dict()
    assert all(torch.equal(same[name], tensor) for name, tensor in slower.net.state_dict().items())


def test_samples_of_the_same_latents_and_the_losses_are_kept_by_step() -> None:
    kept: list[Checkpoint] = []
    trained(Hooks(keep=kept.append))
    steps = [3, 5, 8, 10, 13, 15, 18, 20]
    assert list(kept[-1].shown) == steps
    assert {tuple(grid.shape) for grid in kept[-1].shown.values()} == {(3 * 9 + 1, 10 * 9 + 1, 1)}
    before = kept[-2].shown
    assert all(torch.equal(grid, kept[-1].shown[step]) for step, grid in before.items())
    assert not torch.equal(kept[-1].shown[3], kept[-1].shown[20])
    assert [one.step for one in kept[-1].progress.losses] == steps


def test_a_losses_figure_is_the_mean_since_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1, 21))
    monkeypatch.setattr(Players, "step", lambda *_, **__: torch.tensor([float(next(calls)), 0.5]))
    kept: list[Checkpoint] = []
    trained(Hooks(keep=kept.append))
    assert [one.discriminator for one in kept[-1].progress.losses] == [2, 4.5, 7, 9.5, 12, 14.5, 17, 19.5]
    assert {one.generator for one in kept[-1].progress.losses} == {0.5}


@pytest.mark.parametrize(("side", "classes", "wanted"), [(8, 3, (3, 10)), (64, 10, (8, 8)), (128, 10, (4, 4))])
def test_a_grid_holds_what_it_can_show(side: int, classes: int, wanted: tuple[int, int]) -> None:
    net = GeneratorNet(Shape(classes, side, side, 1, latent=4, features=8)).eval()
    made = grid(Generator(net, Output(4, side, side, 1, classes)), CPU)
    lines, columns = wanted
    assert made.shape == (lines * (side + 1) + 1, columns * (side + 1) + 1, 1) and made.dtype == torch.uint8
