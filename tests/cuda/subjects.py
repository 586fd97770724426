"""What the tests on devices work on: the bundled digits, and recipes over a small classifier."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.sources import DigitsSource


def digits(rows: int, *, last: bool = False) -> CleanRows:
    """The first, or last, rows of all bundled digits."""
    source = open_source(DigitsSource())
    parts = [source.read(one, source.probe(), 10)[0] for one in source.plan(2048)]
    pixels = np.concatenate([part.pixels for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    where = slice(-rows, None) if last else slice(rows)
    pixels, labels = pixels[where], labels[where]
    return CleanRows(pixels, labels, tuple(f"digits#{at}" for at in range(len(labels))), np.arange(len(labels)))


def seeds(rows: CleanRows, variants: int = 1) -> NDArray[np.int64]:
    """Row seeds, int64 (N, variants)."""
    return np.random.default_rng(5).integers(0, 2**63, (len(rows), variants), dtype=np.int64)


def attack(
    module: nn.Module, device: torch.device, *, batch: int = 64, divider: Divider | None = None, **settings: Any
) -> AttackRecipe:
    """PGD-10 at 40/255 as a recipe, unless `settings` say otherwise."""
    run = {name: settings.pop(name) for name in ("precision", "compile") if name in settings}
    spec = Attack(**({"name": "pgd", "eps": "40/255", "steps": 10} | settings)).resolved(10)
    moved = copy.deepcopy(module).to(device)
    return AttackRecipe(spec, module=moved, classes=10, batch=batch, device=device, divider=divider, **run)


def same(one: Any, other: Any) -> bool:
    """Whether two recipes made the same rows, in every column."""
    return bool(
        np.array_equal(one.pixels, other.pixels)
        and all(
            np.array_equal(values, other.columns[name], equal_nan=values.dtype.kind == "f")
            for name, values in ((name, np.asarray(column)) for name, column in one.columns.items())
        )
    )
