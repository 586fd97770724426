"""A network that is attacked in the middle of its training goes on as if nothing had been."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.geometries import Linf
from hardset.pipeline.attacks.schedules import Fixed
from hardset.pipeline.attacks.search import Search, SearchRows
from hardset.pipeline.models.zoo import small_cnn
from tests.attacks.nets import CPU, images, seeds


def rows(count: int) -> SearchRows:
    labels = torch.arange(count) % 10
    eps = np.full(count, 16 / 255)
    return SearchRows(
        pixels=torch.from_numpy(images(count)).permute(0, 3, 1, 2).contiguous(),
        labels=labels,
        targets=labels[:, None],
        seeds=torch.from_numpy(seeds(count)),
        radius=Linf().radius(eps),
        budget=Linf().budget(eps),
        step_size=np.full(count, 4 / 255),
    )


def search(**changes: object) -> Search:
    settings = {"objective": objectives.cross_entropy, "geometry": Linf(), "schedule": Fixed(), "steps": 3} | changes
    return Search(**settings)  # type: ignore[arg-type]


@pytest.fixture
def training() -> nn.Module:
    """In training, but for one batch normalisation and one weight that its owner has frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_cnn()
    module.train()
    module[1].eval()  # type: ignore[index, operator]
    module[3].weight.requires_grad_(False)  # type: ignore[index, union-attr, operator]
    return module


def condition(module: nn.Module) -> tuple[list[bool], dict[str, Tensor]]:
    """Every flag, and every tensor, running statistics among them."""
    flags = [part.training for part in module.modules()] + [p.requires_grad for p in module.parameters()]
    return flags, {key: value.clone() for key, value in module.state_dict().items()}


def same(module: nn.Module, before: tuple[list[bool], dict[str, Tensor]]) -> bool:
    flags, state = condition(module)
    return flags == before[0] and all(torch.equal(value, before[1][key]) for key, value in state.items())


def test_flags_gradients_and_running_statistics_are_left_alone(training: nn.Module) -> None:
    before = condition(training)
    engine = Engine(training, 8, CPU)
    outcome = engine.run(search(), rows(12))
    engine.logits(outcome.images)
    assert same(training, before)
    assert all(parameter.grad is None for parameter in training.parameters())


def test_the_attack_is_the_one_on_the_network_in_eval_mode(training: nn.Module) -> None:
    lent = Engine(training, 8, CPU).run(search(), rows(12)).images
    still = Engine(training.eval().requires_grad_(False), 8, CPU).run(search(), rows(12)).images
    assert torch.equal(lent, still)


def test_an_objective_that_fails_leaves_no_trace(training: nn.Module) -> None:
    def failing(logits: Tensor, goal: object) -> Tensor:
        raise ValueError("no such loss")

    before = condition(training)
    with pytest.raises(ValueError, match="no such loss"):
        Engine(training, 8, CPU).run(search(objective=failing), rows(12))
    assert same(training, before)


def test_averaging_over_randomness_leaves_the_global_generator_alone(training: nn.Module) -> None:
    state = torch.get_rng_state()
    Engine(training, 8, CPU).run(search(repeats=3), rows(12))
    assert torch.equal(torch.get_rng_state(), state)
