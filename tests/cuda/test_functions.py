"""`hardset.attack` and `hardset.augment` with models and images on any device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hardset

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6)


def same(one: Any, other: Any) -> bool:
    """Whether two results hold the same values, wherever they are."""
    return all(
        torch.equal(value.cpu(), vars(other)[name].cpu()) if isinstance(value, Tensor) else value == vars(other)[name]
        for name, value in vars(one).items()
    )


@pytest.mark.parametrize("name", ["pgd", "square"])
def test_results_lie_where_the_images_do_and_the_model_is_asked_where_it_is(device: torch.device, name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(device)
    there = hardset.attack(model, IMAGES.to(device), LABELS.to(device), name, eps=8 / 255, steps=10)
    here = hardset.attack(model, IMAGES, LABELS, name, eps=8 / 255, steps=10)
    assert {value.device for value in vars(there).values() if isinstance(value, Tensor)} == {there.images.device}
    assert there.images.device.type == device.type and here.images.device.type == "cpu"
    assert same(there, here)
    assert next(model.parameters()).device.type == device.type


def test_images_are_augmented_where_they_are(device: torch.device) -> None:
    result = hardset.augment(IMAGES.to(device), ["hflip", {"name": "crop", "padding": 1}], variants=2)
    assert result.images.device.type == result.parents.device.type == device.type
    assert result.params == hardset.augment(IMAGES, ["hflip", {"name": "crop", "padding": 1}], variants=2).params
