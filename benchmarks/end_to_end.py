"""Compares rows per second of whole runs with the bare engine's: one and two actors, with and without overlap.

    python -m benchmarks.end_to_end [--width 64] [--shards 5] [--rounds 3] [--out docs/benchmarks/end_to_end.json]

PGD-10 on an untrained ResNet-18 and random 32 x 32 rows: speed does not depend on image content. Each round measures
everything once, and the order is reversed every round; ratios are of medians within this one run. The engine runs in
separate processes without Ray, one alone and then two at once: cores share caches and memory, so the rate of two
processes is the upper bound for two actors on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rates import SHARD_ROWS, engine_rate, job_of, make_inputs, overlap_rate, run_rate, threads_rate

from hardset.pipeline.dataset.provenance.environment import versions

FIGURES = Path(__file__).parents[1] / "docs" / "benchmarks" / "end_to_end.json"
ENGINE, JUDGED, TWO_ENGINES = "attack alone", "attack and judge", "attack alone, two processes at once"
ONE, TWO = "1 actor", "2 actors"
WANTED = {"end to end": 0.95, "two actors": 1.9}
SLOW_SHARE = 0.9
"""Time that the simulated slow storage takes per shard, as a fraction of the device's time."""
OVERLAP_WIDTH, OVERLAP_SHARDS = 16, 12
"""Width of the small network and number of shards: only the ratio of storage time to device time matters here."""


def measurements(
    folder: Path, width: int, shards: int, number: int, device_s: float
) -> list[tuple[str, Callable[[], Any]]]:
    """Measurements of one round, by name. `device_s`: device seconds per shard in the runs with slow storage."""
    few = job_of(folder, "unused", width=width, rows=SHARD_ROWS)

    def actors(count: int) -> Any:
        rows = count * shards * SHARD_ROWS
        return run_rate(job_of(folder, f"actors-{number}-{count}", width=width, actors=count, rows=rows))

    def overlapped(depth: int, slow: str) -> float:
        read_s, write_s = (SLOW_SHARE * device_s * (slow == side) for side in ("source", "sink"))
        rows = (1 + OVERLAP_SHARDS) * SHARD_ROWS
        job = job_of(folder, f"overlap-{number}-{depth}-{slow}", width=OVERLAP_WIDTH, rows=rows)
        return overlap_rate(job, depth, read_s, write_s)

    found: list[tuple[str, Callable[[], Any]]] = [
        (ENGINE, lambda: engine_rate(few, shards)),
        (JUDGED, lambda: engine_rate(few, shards, judged=True)),
        (TWO_ENGINES, lambda: engine_rate(few, shards, processes=2)),
        (ONE, lambda: actors(1)),
        (TWO, lambda: actors(2)),
    ]
    for slow in ("source", "sink"):
        for depth in (1, 3):
            found.append((f"slow {slow}, {depth} in hand", lambda depth=depth, slow=slow: overlapped(depth, slow)))
    for neighbours in (0, 1):
        for policy in ("ACTIVE", "PASSIVE"):
            name = f"two threads, {policy}, {neighbours} busy neighbour{'s' * (neighbours != 1)}"
            found.append((name, lambda p=policy, n=neighbours: threads_rate(width, policy=p, neighbours=n)))
    return found


def measure(width: int, shards: int, rounds: int) -> dict[str, Any]:
    """All figures."""
    rates: dict[str, list[float]] = defaultdict(list)
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder, max(2 * shards, 1 + OVERLAP_SHARDS) * SHARD_ROWS, {width, OVERLAP_WIDTH})
        few = job_of(folder, "unused", width=OVERLAP_WIDTH, rows=SHARD_ROWS)
        device_s = SHARD_ROWS / engine_rate(few, 4, judged=True)
        for number in range(rounds):
            round_ = measurements(folder, width, shards, number, device_s)
            for what, work in round_ if number % 2 == 0 else reversed(round_):
                found = work()
                if what in (ONE, TWO):
                    whole, found, told[what] = found
                    rates[f"{what}, whole run with Ray's start"].append(whole)
                rates[what].append(found)
                print(f"round {number + 1}: {what}: {found:.2f} rows/s", flush=True)
    medians = {what: statistics.median(values) for what, values in rates.items()}
    return {
        "settings": {"width": width, "shards_per_actor": shards, "shard_rows": SHARD_ROWS, "rounds": rounds},
        "rows_per_second": dict(rates),
        "medians": medians,
        "ratios": ratios(medians),
        "throughput_reports": told,
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "load_at_end": os.getloadavg()[0], **versions()},
    }


def ratios(medians: dict[str, float]) -> dict[str, float]:
    """Ratios with a target, and the ratios to compare them with."""
    return {
        f"{ONE} over attack and judge": medians[ONE] / medians[JUDGED],
        f"{ONE} over attack alone": medians[ONE] / medians[ENGINE],
        f"{TWO} over {ONE}": medians[TWO] / medians[ONE],
        "two engines without Ray over one": medians[TWO_ENGINES] / medians[ENGINE],
        "overlap on a slow source": medians["slow source, 3 in hand"] / medians["slow source, 1 in hand"],
        "overlap on a slow sink": medians["slow sink, 3 in hand"] / medians["slow sink, 1 in hand"],
        "sleeping over spinning threads, no neighbour": medians["two threads, PASSIVE, 0 busy neighbours"]
        / medians["two threads, ACTIVE, 0 busy neighbours"],
        "sleeping over spinning threads, a busy neighbour": medians["two threads, PASSIVE, 1 busy neighbour"]
        / medians["two threads, ACTIVE, 1 busy neighbour"],
    }


def cpu_name() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    settings, machine, ratios_ = figures["settings"], figures["machine"], figures["ratios"]
    two = f"{TWO} over {ONE}"
    asked = {
        f"{ONE} over attack and judge": WANTED["end to end"],
        f"{ONE} over attack alone": WANTED["end to end"],
        two: WANTED["two actors"],
    }
    lines = [
        "# End to end",
        "",
        f"PGD-10 Linf 8/255 on random 32 x 32 rows, ResNet-18 of width {settings['width']}, float32, one thread per "
        f"actor; shards of {settings['shard_rows']} rows, {settings['shards_per_actor']} for each actor; medians of "
        f"{settings['rounds']} rounds. {machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}. "
        "Written by `python -m benchmarks.end_to_end`.",
        "",
        "| ratio | measured | asked | met |",
        "|---|---|---|---|",
        *(
            f"| {key} | {value:.3f} | {asked[key]} | {'yes' if value >= asked[key] else '**no**'} |"
            if key in asked
            else f"| {key} | {value:.3f} | | |"
            for key, value in ratios_.items()
        ),
        "",
        "The judge evaluates every stored row and its clean row again in float32; it is part of a run but not of the "
        "attack. Two engines without Ray share caches and memory as two actors do: their ratio is the upper bound for "
        f"two actors here. Slow storage is simulated, with a network of width {OVERLAP_WIDTH}: reading or writing a "
        f"shard sleeps for {SLOW_SHARE} of the device's time. Threads: forward passes on two OpenMP threads, which "
        "spin (ACTIVE) or sleep (PASSIVE) while they wait for each other; actors with more than one CPU start with "
        "PASSIVE.",
        "",
        "| measured | rows/s |",
        "|---|---|",
        *(f"| {key} | {value:.1f} |" for key, value in figures["medians"].items()),
        "",
        "Throughput reported by the runs: "
        + "; ".join(
            f"{what} bound by the {report['bound']}, device busy {report['busy']['device']:.0%}"
            for what, report in sorted(figures["throughput_reports"].items())
        )
        + ".",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=FIGURES)
    asked = parser.parse_args()
    figures = measure(asked.width, asked.shards, asked.rounds)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(figures, indent=2) + "\n")
    asked.out.with_suffix(".md").write_text(table(figures))
    print(table(figures))


if __name__ == "__main__":
    main()
