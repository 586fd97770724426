"""The engine's passes over one batch, all rows from start to end: the attack inside adversarial training.

Every row takes the same number of steps and the network changes with the next batch, so there is nothing to refill,
to stop or to judge; start, step, projection and 8-bit grid are those of the engine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.passes import Passes, Scores
from hardset.pipeline.attacks.schedules import Start
from hardset.pipeline.attacks.search import Search, SearchRows
from hardset.pipeline.attacks.slots import Slots
from hardset.pipeline.compute.levels import unit_images


def ascend(search: Search, network: Scores, rows: SearchRows, order: Tensor) -> Tensor:
    """The rows after `search.steps` steps, as stored: float32 (N, C, H, W) on the 8-bit grid, within budget.

    `network` is asked in whatever mode it is; parameters that want no gradient make it cheaper. `order`, int64 (N,),
    chooses among a row's random streams, such as the number of the epoch. The last iterate is returned, whatever
    its loss, as adversarial training wants it (Madry et al. 2018); targets and restarts of `rows` and `search` are not
    looked at. SearchRows without a budget come back clean.
    """
    device = rows.labels.device
    clean = unit_images(rows.pixels)
    radius = torch.from_numpy(rows.radius).to(device, torch.float32)
    step_size = torch.from_numpy(rows.step_size).to(device, torch.float32)
    elsewhere = torch.full_like(rows.labels, search.random_start, dtype=torch.bool)
    images = search.geometry.start(clean, radius, rows.seeds, order, rows.mask) if search.random_start else clean
    start = Start(images, clean, radius, step_size, rows.seeds, order, search.steps)
    slots = Slots.starting(
        start,
        levels=rows.pixels.to(torch.float32),
        mask=clean.new_ones(len(rows), 1, 1, 1) if rows.mask is None else rows.mask,
        labels=rows.labels,
        targets=rows.targets[:, 0],
        budget=torch.from_numpy(rows.budget).to(device),
        elsewhere=elsewhere,
        memory=search.schedule.begin(start),
    )
    with torch.no_grad():
        passes = Passes(search, (network,), exact=True, masked=rows.mask is not None)
        for _ in range(search.steps):
            passes.one(slots)
        end = passes.point(slots.images, slots).images
    return torch.where(per_row(slots.budget > 0, clean), end, clean)
