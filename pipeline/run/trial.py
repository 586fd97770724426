"""A trial of a job's recipes on this machine: a few rows of each, made as a run makes them, timed and thrown away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.shards.encoding import encode_shard
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.reading import part_of
from hardset.pipeline.shards.worker import Worker
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Plan, Shard

_FIRST_ROWS = 8
"""Rows that are made first, which load what is needed; they tell how many more fit, and do not count."""


@dataclass(frozen=True)
class Trial:
    """What making some rows of a recipe took."""

    recipe: int
    """Position of the recipe in the job."""
    rows: int
    """Source rows, or samples, that went in."""
    rows_out: int
    seconds: float
    """From reading to encoded bytes, one stage after the other."""
    bytes: int
    """Size of the encoded Parquet."""
    gradients: int
    """Gradients that were spent, where the recipe is an attack."""


def trials(job: Job, plan: Plan, shards: Sequence[Shard], seconds: float) -> tuple[Trial, ...]:
    """A trial of each recipe that has one of `shards`, in about `seconds` in all; a few rows of each at least.

    Runs in this process with the threads of one actor, on its device. Reads rows from the middle of the shards that
    are missing, writes nothing. Raises as a run does.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(job.run.cpus_per_actor)
    try:
        worker = Worker(job, plan, driver_device(job.run))
        by_recipe: dict[int, list[Shard]] = {}
        for shard in shards:
            by_recipe.setdefault(shard.recipe, []).append(shard)
        share = seconds / max(len(by_recipe), 1)
        return tuple(_trial(worker, recipe, found, share) for recipe, found in sorted(by_recipe.items()))
    finally:
        torch.set_num_threads(threads)


def _trial(worker: Worker, recipe: int, shards: Sequence[Shard], seconds: float) -> Trial:
    """Rows of one recipe until the time is spent: a few first, then as many at once as fit, a batch at most."""
    middle = [*shards[len(shards) // 2 :], *shards[: len(shards) // 2]]
    end = time.monotonic() + seconds
    first = _timed(worker, recipe, middle[0], 0, min(_FIRST_ROWS, middle[0].rows))
    total: Trial | None = None
    for shard in middle:
        start = 0
        while start < shard.rows:
            known = total or first
            fit = int((end - time.monotonic()) * known.rows / known.seconds)
            if fit < 1 and (total or first.seconds > seconds):
                return total or first  # the first rows alone took all the time, and loading what they need is in it
            stop = min(start + max(min(fit, worker.job.run.batch), _FIRST_ROWS), shard.rows)
            total = _sum(total, _timed(worker, recipe, shard, start, stop))
            start = stop
    return total or first


def _sum(one: Trial | None, other: Trial) -> Trial:
    if one is None:
        return other
    rows, rows_out, seconds = one.rows + other.rows, one.rows_out + other.rows_out, one.seconds + other.seconds
    return Trial(one.recipe, rows, rows_out, seconds, one.bytes + other.bytes, one.gradients + other.gradients)


def _timed(worker: Worker, recipe: int, shard: Shard, first: int, stop: int) -> Trial:
    """Rows from `first` to before `stop` of a shard."""
    started, whole = time.monotonic(), shard.range
    rows = None if whole is None else worker.plan.ranges[whole]
    part, rows = part_of(shard, rows, shard.start + first, shard.start + stop)
    made = make_shard(part, rows, worker)
    files = encode_shard(made)
    seconds = time.monotonic() - started
    steps = made.columns.get("steps")
    spent = 0 if steps is None else int(np.sum(steps))
    return Trial(recipe, stop - first, made.counts.rows_out, seconds, len(files.data or b""), spent)
