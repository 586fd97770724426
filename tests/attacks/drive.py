"""A schedule without the engine: every pass at the float iterate itself, rows side by side, no stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.objectives import Goal
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start


def passes(
    schedule: Schedule,
    net: Callable[[Tensor], Tensor],
    clean: Tensor,
    labels: Tensor,
    *,
    geometry: Geometry,
    radius: Tensor,
    steps: int,
    objective=objectives.margin,
    step_size: Tensor | None = None,
    seeds: Tensor | None = None,
    mask: Tensor | None = None,
    start: Tensor | None = None,
) -> Iterator[tuple[Pass, Memory]]:
    """What each of `steps` passes finds, and what the schedule remembers before it."""
    count = len(clean)
    order, images = torch.zeros(count, dtype=torch.int64), clean if start is None else start
    seeds = torch.arange(count) * 0x9E3779B97F4A7C1 if seeds is None else seeds
    mask = torch.ones(count, 1, 1, 1) if mask is None else mask
    size = radius.clone() if step_size is None else step_size
    memory = schedule.begin(Start(images.clone(), clean, radius, size, seeds, order, steps))
    for step in range(steps):
        point = schedule.probe(images, size, memory).detach().requires_grad_(True)
        done = torch.full((count,), step, dtype=torch.int32)
        goal = Goal(labels, labels, order, done / steps)
        loss = objective(net(point), goal)
        gradient = images.new_empty(0)
        if schedule.needs_gradient:
            gradient = torch.autograd.grad(loss.sum(), point)[0].nan_to_num(nan=0.0) * mask
        with torch.no_grad():
            logits = net(images)
            seen = Pass(
                images=images.clone(),
                clean=clean,
                gradient=gradient,
                loss=objective(logits, goal),
                met=logits.argmax(dim=1) != labels,
                radius=radius,
                step_size=size,
                step=done,
                seeds=seeds,
                order=order,
                mask=mask,
            )
            yield seen, memory
            images, memory = schedule.advance(seen, memory, geometry, steps)
