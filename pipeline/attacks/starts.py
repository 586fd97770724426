"""Where searches start: at the clean image, at noise in the ball, or where another search ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.schedules import Start
from hardset.pipeline.attacks.search import Search, SearchRows
from hardset.pipeline.attacks.slots import Slots
from hardset.pipeline.attacks.work_queue import Item
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.compute.transfers import sent


@dataclass(frozen=True)
class Starts:
    """The starts of the items of one search."""

    search: Search
    rows: SearchRows
    leaders: NDArray[np.int64]
    """Row whose result each row starts from; -1 where it starts from noise or its clean image."""
    results: Tensor
    """The results of rows as they come in, float32 (N, C, H, W); written by the search."""

    @staticmethod
    def of(search: Search, rows: SearchRows, searched: NDArray[np.int64], results: Tensor) -> Starts:
        """The starts of rows of which some are `searched`: given ones, or the results of the rows that they follow."""
        if rows.start is not None:
            return Starts(search, rows, np.arange(len(rows)), results)
        leaders = np.full(len(rows), -1) if rows.follows is None else rows.follows
        return Starts(search, rows, np.where(np.isin(leaders, searched), leaders, -1), results)

    def fresh(self, items: Sequence[Item]) -> Slots:
        """The state of items at their start."""
        rows, search, device = self.rows, self.search, self.results.device
        numbers = np.array([item.row for item in items])
        row = sent(numbers, device)
        orders = np.array([item.order for item in items])
        order = sent(orders, device)
        clean = unit_images(rows.pixels.index_select(0, row))
        radius = sent(rows.radius[numbers].astype(np.float32), device)
        step_size = sent(rows.step_size[numbers].astype(np.float32), device)
        seeds = rows.seeds.index_select(0, row)
        mask = None if rows.mask is None else rows.mask.index_select(0, row)

        drawn, images = (order > 0) | search.random_start, clean
        if search.random_start or (orders > 0).any():
            noisy = search.geometry.start(clean, radius, seeds, order, mask)
            images = torch.where(per_row(drawn, clean), noisy, clean)
        leaders = self.leaders[numbers]
        leader = sent(leaders, device)
        warm = (leader >= 0) & (order == 0)
        if (leaders >= 0).any():
            before = self.results.index_select(0, leader.clamp(min=0))
            images = torch.where(per_row(warm, clean), before, images)

        start = Start(images, clean, radius, step_size, seeds, order, search.steps)
        return Slots.starting(
            start,
            levels=rows.pixels.index_select(0, row).to(torch.float32),
            mask=clean.new_ones(len(items), 1, 1, 1) if mask is None else mask,
            labels=rows.labels.index_select(0, row),
            targets=rows.targets[row, order % rows.targets.shape[1]],
            budget=sent(rows.budget[numbers], device),
            elsewhere=drawn | warm,
            memory=search.schedule.begin(start),
        )
