"""Memory that is really used up: a tensor fills the card until a batch no longer fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.compute.devices import Divider
from hardset.schemas.job.recipes import Attack
from tests.cuda.subjects import seeds

SIDE, BATCH = 64, 256
ROOM = 2**30
"""Bytes left: the network below takes 8 MiB a row for its widest layer alone, 2 GiB for the batch."""


def wide_net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 512, 3, padding=1), nn.ReLU(), nn.Conv2d(512, 8, 3, padding=1), nn.ReLU())
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_batch_that_does_not_fit_is_halved(cuda: torch.device, precision: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    rows = CleanRows(pixels, np.zeros(BATCH, np.int64), tuple(map(str, range(BATCH))), np.arange(BATCH))
    spec = Attack(name="pgd", eps="8/255", steps=3, stop="never", misclassified="attack").resolved(10)
    divider, net = Divider(), wide_net().to(cuda)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(cuda)
    filled = torch.empty(free - ROOM, dtype=torch.uint8, device=cuda)
    try:
        recipe = AttackRecipe(
            spec, module=net, classes=10, batch=BATCH, precision=precision, device=cuda, divider=divider
        )
        made = recipe.make(rows, seeds(rows))
        smallest = divider.smallest_part()
    finally:
        del filled
        torch.cuda.empty_cache()
    assert smallest is not None
    assert smallest <= BATCH // 2
    assert len(made) == BATCH
    assert (np.abs(made.pixels.astype(int) - pixels) <= 8).all()
    whole = AttackRecipe(spec, module=net, classes=10, batch=BATCH, precision=precision, device=cuda).make(
        rows, seeds(rows)
    )
    assert (made.pixels != whole.pixels).mean() < 0.2  # signs of gradients near 0 may tip in another batch shape
