"""Rows per second of the bare engine, of whole runs and of overlapped shards; each function measures once.

The model is an untrained ResNet-18 and the rows are random: speed does not depend on image content.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import ray
import safetensors.torch
import torch
from benchmarks.attacks.networks import ResNet18

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.generation import generate
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Receipt

SHARD_ROWS = 32


def resnet18(width: int) -> torch.nn.Module:
    """Model factory of the job files below."""
    return ResNet18(width, 10)


def make_inputs(folder: Path, rows: int, widths: Iterable[int]) -> None:
    """Writes random 32 x 32 colour rows, and torch's initial weights for networks of several widths."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "rows.npz", images=images, labels=generator.integers(0, 10, rows))
    for width in widths:
        torch.manual_seed(0)
        safetensors.torch.save_file(resnet18(width).state_dict(), folder / f"{width}.safetensors")


def job_of(folder: Path, out: str, *, width: int, actors: int = 1, rows: int | None = None) -> Job:
    """Job that runs PGD-10 on the first `rows` rows."""
    document: dict[str, Any] = {
        "name": "bench",
        "source": {"format": "npz", "path": str(folder / "rows.npz"), "limit": rows},
        "model": {
            "factory": "benchmarks.rates:resnet18",
            "arguments": {"width": width},
            "weights": str(folder / f"{width}.safetensors"),
            "classes": 10,
        },
        "recipes": [{"kind": "attack", "name": "pgd", "eps": "8/255", "steps": 10}],
        "output": {"path": str(folder / out), "shard_rows": SHARD_ROWS},
        "run": {"actors": actors, "batch": SHARD_ROWS},
    }
    return parse_job(document)


# The engine in separate processes.


def _engine(job: Job, shards: int, judged: bool, start: Any, found: Any) -> None:
    torch.set_num_threads(1)
    plan = make_plan(job)
    worker = Worker(job, plan, torch.device("cpu"))
    rows, _ = worker.source.read(plan.ranges[0], plan.image, 10)
    seeds = np.arange(len(rows), dtype=np.int64)[:, None]

    def once() -> None:
        made = worker.recipe(0).make(rows, seeds)
        if judged and worker.judge is not None:
            worker.judge.logits(made.pixels)
            worker.judge.logits(rows.pixels)

    once()
    start.wait()
    started = time.perf_counter()
    for _ in range(shards):
        once()
    found.put(shards * len(rows) / (time.perf_counter() - started))


def engine_rate(job: Job, shards: int, *, processes: int = 1, judged: bool = False) -> float:
    """Rows per second of the attack, with or without the judge, summed over processes that start together."""
    context = get_context("spawn")
    start, found = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_engine, args=(job, shards, judged, start, found)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    rates = [found.get(timeout=3600) for _ in workers]
    for worker in workers:
        worker.join()
    return float(sum(rates))


# Runs.


def actors_rate(receipts: Iterable[Receipt]) -> float:
    """Rows per second between the ends of an actor's first and last shard, summed over the actors."""
    ends: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for receipt in receipts:
        assert receipt.seconds is not None
        end = datetime.fromisoformat(receipt.started).timestamp() + sum(receipt.seconds.model_dump().values())
        ends[receipt.process].append((end, receipt.counts.rows_out))
    rate = 0.0
    for shards in map(sorted, ends.values()):
        if len(shards) > 1:
            rate += sum(rows for _, rows in shards[1:]) / (shards[-1][0] - shards[0][0])
    return rate


def run_rate(job: Job) -> tuple[float, float, dict[str, Any]]:
    """Rows per second of a whole run including Ray's start, of its actors alone, and the run's throughput report."""
    started = time.perf_counter()
    outcome = generate(job)
    seconds = time.perf_counter() - started
    ray.shutdown()
    assert outcome.manifest is not None and outcome.throughput is not None
    receipts = Ledger(Folder(job.output.path), outcome.plan.run_id).receipts()
    told = outcome.throughput.model_dump(include={"busy", "bound"})
    return outcome.made.rows_out / seconds, actors_rate(receipts.values()), told


# Overlap. Slow storage is simulated by sleeping.


class SlowFolder(Folder):
    """A store with slow writes of data files, like a remote or busy one."""

    seconds = 0.0

    def write(self, path: str, data: bytes) -> None:
        """Writes a file."""
        if path.startswith("data/"):
            time.sleep(self.seconds)
        super().write(path, data)


class SlowWorker(Worker):
    """A worker whose source is slow to read."""

    seconds = 0.0

    def read(self, shard: Any, rows: Any) -> tuple[CleanRows, list[Reject]]:
        """The rows of a shard."""
        time.sleep(self.seconds)
        return super().read(shard, rows)


def overlap_rate(job: Job, depth: int, read_s: float, write_s: float) -> float:
    """Rows per second of one worker without Ray, `depth` shards in hand, measured after its first shard."""
    torch.set_num_threads(1)
    plan, folder = make_plan(job), SlowFolder(job.output.path)
    worker, ledger = SlowWorker(job, plan, torch.device("cpu")), Ledger(folder, plan.run_id)

    def make(position: int) -> Receipt:
        shard = plan.shards[position]
        return run_shard(shard, None if shard.range is None else plan.ranges[shard.range], worker, ledger)

    make(0)
    object.__setattr__(worker, "seconds", read_s)
    folder.seconds = write_s
    started = time.perf_counter()
    with ThreadPoolExecutor(depth) as pool:
        rows = sum(receipt.counts.rows_out for receipt in pool.map(make, range(1, len(plan.shards))))
    return rows / (time.perf_counter() - started)


# Threads that wait for each other.


_FORWARD = """
import sys, time, torch
from benchmarks.rates import resnet18
torch.set_num_threads(2)
net, images = resnet18(int(sys.argv[1])).eval(), torch.rand(16, 3, 32, 32)
with torch.no_grad():
    net(images)
    started = time.perf_counter()
    for _ in range(8):
        net(images)
print(8 * 16 / (time.perf_counter() - started))
"""


def threads_rate(width: int, *, policy: str, neighbours: int) -> float:
    """Rows per second of forward passes on two threads while other processes compete for the cores."""
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _FORWARD, str(width)],
            env={**os.environ, "OMP_WAIT_POLICY": policy},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for process in spin:
            process.kill()
            process.wait()
    return float(done.stdout)
