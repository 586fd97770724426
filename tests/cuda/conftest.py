"""Devices that the tests of this folder run on: the CPU everywhere, CUDA devices where there are any.

Uses nothing of the folders above, so that the tests run where only torch and the core libraries are installed:
`pytest --confcutdir tests/cuda tests/cuda`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from tests.cuda.subjects import digits


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known where pyproject.toml is not read."""
    config.addinivalue_line("markers", "cuda: needs a CUDA device")


ON_CUDA = [
    pytest.param("cuda", marks=pytest.mark.cuda),
    pytest.param("cuda:last", marks=pytest.mark.cuda),
]


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device(name)
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    if name == "cuda:last":
        if torch.cuda.device_count() == 1:
            pytest.skip("one CUDA device alone: there is no other index than that in use")
        return torch.device("cuda", torch.cuda.device_count() - 1)
    return torch.device(name)


@pytest.fixture(params=["cpu", *ON_CUDA])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the test computes. `cuda:last` is another device than the current one."""
    return _device(request.param)


@pytest.fixture(params=ON_CUDA)
def cuda(request: pytest.FixtureRequest) -> torch.device:
    """A CUDA device, for what no CPU shows."""
    return _device(request.param)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors gain nothing from more on a CPU."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def rows() -> CleanRows:
    """500 bundled digits that the classifier was not trained on, and others."""
    return digits(500, last=True)


@pytest.fixture
def some_rows(device: torch.device, rows: CleanRows) -> CleanRows:
    """All of them on a CUDA device; 64 on a CPU, where the tests only have to stay sound."""
    return rows if device.type == "cuda" else rows.take(np.arange(64))


@pytest.fixture(scope="session")
def classifier() -> nn.Module:
    """Trained on other digits, frozen, on the CPU."""
    train = digits(1200)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = fit_classifier(small_cnn(), train.pixels, train.labels, epochs=4, seed=0)
    return module.eval().requires_grad_(False)
