"""A minimal trainer for small classifiers, used by the demo, the tests and the benchmarks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn


def fit_classifier(
    module: nn.Module, pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, epochs: int, seed: int, batch: int = 64
) -> nn.Module:
    """Trains `module` in place with Adam and a one-cycle learning rate; returns it in eval mode.

    `pixels`: uint8 N x H x W x C; `labels`: int64 (N,). The order of the rows depends only on `seed`.
    """
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(labels)
    steps = epochs * -(-len(targets) // batch)
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    module.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(targets), generator=order), batch):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(images[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return module.eval()
