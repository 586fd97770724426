"""Rows per second from job file to manifest, with one actor and with two, beside the attack's own rate.

    python -m benchmarks.end_to_end        writes docs/benchmarks/end_to_end.json and the table beside it

Each setting runs several times in turn; ratios are of medians within this one run.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import safetensors.torch
import torch

from pipeline.bench import Bench
from pipeline.models.zoo import cifar_resnet20
from pipeline.plan import make_plan
from pipeline.run import generate
from schemas.job import Job
from schemas.loading import parse_job

ROWS, SHARD_ROWS, ROUNDS = 512, 64, 2
FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"


def make_inputs(folder: Path) -> None:
    """Random 32 x 32 colour rows and an untrained ResNet-20: speed does not depend on what they show."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (ROWS, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "rows.npz", images=images, labels=generator.integers(0, 10, ROWS))
    torch.manual_seed(0)
    safetensors.torch.save_file(cifar_resnet20().state_dict(), folder / "w.safetensors")


def job_of(folder: Path, out: str, actors: int) -> Job:
    """PGD-10 on every row."""
    document: dict[str, Any] = {
        "name": "bench",
        "source": {"format": "npz", "path": str(folder / "rows.npz")},
        "model": {
            "factory": "pipeline.models.zoo:cifar_resnet20",
            "weights": str(folder / "w.safetensors"),
            "classes": 10,
        },
        "recipes": [{"kind": "attack", "name": "pgd", "eps": "8/255", "steps": 10}],
        "output": {"path": str(folder / out), "shard_rows": SHARD_ROWS},
        "run": {"actors": actors, "batch": SHARD_ROWS},
    }
    return parse_job(document)


def engine_rate(folder: Path) -> float:
    """Rows per second of the attack alone, one thread, after one warm-up shard."""
    torch.set_num_threads(1)
    job = job_of(folder, "unused", 1)
    plan = make_plan(job)
    bench = Bench(job, plan, torch.device("cpu"))
    rows, _ = bench.source.read(plan.ranges[0], plan.image, 10)
    seeds = np.arange(len(rows), dtype=np.int64)[:, None]
    bench.recipe(0).make(rows, seeds)
    started = time.perf_counter()
    for _ in range(2):
        bench.recipe(0).make(rows, seeds)
    return 2 * len(rows) / (time.perf_counter() - started)


def run_rate(folder: Path, out: str, actors: int) -> tuple[float, float]:
    """Rows per second of a whole run, and from the first receipt to the last (without Ray's start)."""
    job = job_of(folder, out, actors)
    moments: list[float] = []
    started = time.perf_counter()
    outcome = generate(job, on_progress=lambda _: moments.append(time.perf_counter()))
    seconds = time.perf_counter() - started
    ray.shutdown()
    assert outcome.made.rows_out == ROWS
    # The first receipts of all actors mark the start of the steady state.
    steady = (ROWS - actors * SHARD_ROWS) / (moments[-1] - moments[actors])
    return ROWS / seconds, steady


def main() -> None:
    """Measures and writes the figures."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder)
        for number in range(ROUNDS):
            figures.setdefault("engine alone, one thread", []).append(engine_rate(folder))
            for actors in (1, 2):
                whole, steady = run_rate(folder, f"out-{number}-{actors}", actors)
                figures.setdefault(f"{actors} actor(s), whole run with Ray's start", []).append(whole)
                figures.setdefault(f"{actors} actor(s), steady state", []).append(steady)
    medians = {key: statistics.median(values) for key, values in figures.items()}
    ratios = {
        "2 actors over 1, steady state": medians["2 actor(s), steady state"] / medians["1 actor(s), steady state"],
        "1 actor over the engine alone": medians["1 actor(s), steady state"] / medians["engine alone, one thread"],
    }
    machine = {"cpu": cpu_name(), "cores": str(torch.multiprocessing.cpu_count()), "torch": torch.__version__}
    FOLDER.mkdir(parents=True, exist_ok=True)
    record = {"rows_per_second": figures, "medians": medians, "ratios": ratios, "machine": machine}
    (FOLDER / "end_to_end.json").write_text(json.dumps(record, indent=2) + "\n")
    (FOLDER / "end_to_end.md").write_text(table(medians, ratios, machine))
    print(table(medians, ratios, machine))


def cpu_name() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def table(medians: dict[str, float], ratios: dict[str, float], machine: dict[str, str]) -> str:
    """The figures as Markdown."""
    lines = [
        "# End to end",
        "",
        f"PGD-10 Linf 8/255 on {ROWS} rows of 32 x 32, ResNet-20, float32, shards of {SHARD_ROWS}; median of {ROUNDS}.",
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}. Written by `benchmarks/end_to_end.py`.",
        "",
        "| measured | rows/s |",
        "|---|---|",
        *(f"| {key} | {value:.1f} |" for key, value in medians.items()),
        "",
        "| ratio | |",
        "|---|---|",
        *(f"| {key} | {value:.2f} |" for key, value in ratios.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
