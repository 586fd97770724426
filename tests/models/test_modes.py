"""A network that is lent to an attack comes back exactly as it was given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hardset.pipeline.models.modes import frozen
from hardset.pipeline.models.zoo import small_cnn
from tests.models.factories import stuck_in_training


def flags(module: nn.Module) -> list[bool]:
    """Every flag of a network, in a fixed order."""
    return [part.training for part in module.modules()] + [p.requires_grad for p in module.parameters()]


@pytest.fixture
def mixed() -> nn.Module:
    """In training, but for one frozen batch normalisation, one parameter without gradient, and a root in eval mode."""
    module = small_cnn().train()
    module[1].eval()  # type: ignore[index, operator]
    module[3].weight.requires_grad_(False)  # type: ignore[index, union-attr, operator]
    module.training = False
    return module


def test_inside_nothing_trains_and_afterwards_all_flags_are_back(mixed: nn.Module) -> None:
    before = flags(mixed)
    assert True in before and False in before
    with frozen(mixed) as lent:
        assert lent is mixed
        assert not any(flags(mixed))
    assert flags(mixed) == before


def test_an_exception_inside_changes_nothing_of_that(mixed: nn.Module) -> None:
    before = flags(mixed)
    with pytest.raises(KeyboardInterrupt), frozen(mixed):
        raise KeyboardInterrupt
    assert flags(mixed) == before


def test_running_statistics_stay_and_one_may_stand_inside_another(mixed: nn.Module) -> None:
    before = flags(mixed), {key: value.clone() for key, value in mixed.state_dict().items()}
    with frozen(mixed), frozen(mixed[0:4]):  # type: ignore[index]
        mixed(torch.rand(4, 1, 8, 8))
        assert not any(flags(mixed))
    assert flags(mixed) == before[0]
    for key, value in mixed.state_dict().items():
        assert torch.equal(value, before[1][key]), key


def test_a_network_that_ignores_eval_is_held_still_too() -> None:
    module = stuck_in_training()
    images = torch.rand(4, 1, 8, 8)
    with frozen(module):
        assert torch.equal(module(images), module(images))
    assert module.training
