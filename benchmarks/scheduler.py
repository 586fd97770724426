"""Measures the driver's time and memory per shard, with real Ray and no-op actors.

    python -m benchmarks.scheduler [--shards 100000]    writes docs/benchmarks/scheduler.json and fills docs/scaling.md

Each line is measured in its own process, with the dispatcher and the Ray backend that runs use. The actors answer with
receipts of realistic size.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import ray
import typer
from benchmarks import scaling
from benchmarks.noop import NoopActor
from benchmarks.records import plan_of

from hardset.pipeline.cluster.actors import ActorSetup
from hardset.pipeline.cluster.connection import connected
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.dispatcher import Dispatcher
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.ray_backend import RayBackend
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Receipt

ACTORS = 8


def job_of(actors: int) -> Job:
    """A job for no-op actors; its rows are never made."""
    document: dict[str, Any] = {
        "name": "scheduler",
        "source": {"format": "digits"},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": "memory://scheduler"},
        "run": {"actors": actors},
    }
    return parse_job(document)


def dispatched(shards: int, members: int, keep: bool) -> dict[str, Any]:
    """The driver's milliseconds per shard and its memory during the run. `keep`: also keep the manifest's outputs."""
    job, plan = job_of(ACTORS), plan_of(shards, members)
    with connected(job.run, ClusterPlace()):
        head = plan.model_copy(update={"shards": (), "ranges": ()})
        dispatcher = Dispatcher(job.run, plan.ranges, Stop(), RayBackend(ActorSetup(job, head), NoopActor))
        # The first shards include the start of Ray and of the actors.
        warm = max(1, shards // 100)
        done, memory = {}, {}
        clock = processor = 0.0
        for count, result in enumerate(dispatcher.run(plan.shards), 1):
            if isinstance(result, Receipt) and keep:
                done[result.key] = result.output(plan.shards[result.index])
            if count == warm:
                clock, processor, memory["start"] = time.perf_counter(), time.process_time(), resident()
            for share in (10, 50, 100):
                if count == shards * share // 100:
                    memory[f"{share} %"] = resident()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    each = shards - warm
    return {
        "shards": shards,
        "actors": ACTORS,
        "members": members,
        "outputs_kept": keep,
        "wall_ms_per_shard": 1e3 * clock / each,
        "cpu_ms_per_shard": 1e3 * processor / each,
        "resident_mb": memory,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def resident() -> float:
    """Resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def alone(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Calls a function in a separate process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main(
    shards: Annotated[int, typer.Option(help="Number of no-op shards; fewer for a quick look.")] = 100_000,
) -> None:
    """Measures all cases and writes the figures and the page."""
    lines = {
        "file with rows": alone(dispatched, shards, 0, False),
        "file with rows, outputs kept": alone(dispatched, shards, 0, True),
        "512 image files": alone(dispatched, max(100, shards // 10), 512, False),
    }
    machine = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "ray": ray.__version__},
    }
    scaling.write("dispatch", {"machine": machine, "lines": lines})
    scaling.write("records", scaling.record_sizes())


if __name__ == "__main__":
    typer.run(main)
