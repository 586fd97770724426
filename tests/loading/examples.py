"""Rows to load: a run of several files and row groups, and parts that only count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardset.pipeline.dataset.files import parquet
from hardset.pipeline.loading.order import Groups, Indices
from hardset.pipeline.loading.parts import RowsOfKind
from hardset.schemas.records.run import Manifest
from tests.support import job_of, make_here

SOURCE = {"format": "digits", "limit": 90}
RECIPES: list[dict[str, Any]] = [
    {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "60/255"},
    {"kind": "augment", "ops": [{"name": "hflip"}], "variants": 1},
]


def made_run(weights: Mapping[str, str], out: Path, patch: pytest.MonkeyPatch, **changes: Any) -> Manifest:
    """Adversarial, augmented and generated rows of digits, in files of small row groups."""
    patch.setattr(parquet, "ROW_GROUP_BYTES", 2000)
    sample = job_of(dict(weights), out, sample=True).model_dump(mode="json")["recipes"][-1]
    settings: dict[str, Any] = {"source": SOURCE, "recipes": [*RECIPES, sample]}
    output = {"path": str(out), "shard_rows": 30} | changes.pop("output", {})
    return make_here(job_of(dict(weights), out, output=output, **settings | changes))


class Counting:
    """Rows that hold their own number, in row groups of a megabyte, and notes which groups were read."""

    def __init__(self, rows: int, group: int) -> None:
        sizes = [min(group, rows - at) for at in range(0, rows, group)]
        self.groups: Groups | None = Groups(np.array(sizes, np.int64), np.full(len(sizes), 2**20, np.int64))
        self.read: list[set[int]] = []

    def __len__(self) -> int:
        assert self.groups is not None
        return int(self.groups.starts[-1])

    def take(self, rows: Indices) -> RowsOfKind:
        assert self.groups is not None
        self.read.append(set((np.searchsorted(self.groups.starts, rows, side="right") - 1).tolist()))
        return RowsOfKind(np.zeros((len(rows), 1, 1, 1), np.uint8), rows, rows)
