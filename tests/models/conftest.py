"""A small network that does not have the weights it was made with, and images for it, that the tests share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hardset.pipeline.models.zoo import small_cnn

IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained() -> nn.Module:
    """A network whose weights and running statistics are not those the factory starts with."""
    torch.manual_seed(3)
    module = small_cnn()
    module(IMAGES)
    return module.eval().requires_grad_(False)
