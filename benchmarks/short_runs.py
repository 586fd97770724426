"""How long short commands take: a job of 200 digits with and without Ray, two rounds of hardening, and verbs that read.

    python -m benchmarks.short_runs [--against CHECKOUT] [--rounds 3] [--out docs/benchmarks/short_runs.json]

`--against`: a checkout of an earlier hardset, which takes turns with this one, so that ratios are of one run. Every
command is a process of its own. Seconds are medians of wall time; CPU seconds are those of all processes of the
command, which a busy machine changes less.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
import typer
import yaml
from benchmarks.end_to_end import cpu_name
from benchmarks.peers.watched import watched

from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.models.zoo import small_cnn

FIGURES = Path(__file__).parents[1] / "docs" / "benchmarks" / "short_runs.json"
HERE = Path(__file__).parents[1]
GENERATE, IN_PROCESS, HARDEN = "generate, 1 actor", "generate, no actors", "harden, 2 rounds, 1 actor"
READING = ("status", "runs", "show", "report")
NOW, THEN = "now", "earlier"


def write_jobs(folder: Path) -> None:
    """Job files of 200 digits and one attack, and their model, untrained: time does not depend on its weights."""
    torch.manual_seed(0)
    safetensors.torch.save_file(small_cnn().state_dict(), folder / "model.safetensors")
    for name, changes in {
        "generate": {"run": {"actors": 1, "batch": 64}},
        "here": {"run": {"actors": 0, "batch": 64}},
        "harden": {
            "run": {"actors": 1, "batch": 64},
            "train": {"epochs": 1},
            "harden": {"rounds": 2, "validation": {"fraction": 0.1}},
        },
    }.items():
        document = {
            "name": name,
            "source": {"format": "digits", "limit": 200},
            "model": {
                "factory": "hardset.pipeline.models.zoo:small_cnn",
                "weights": str(folder / "model.safetensors"),
                "classes": 10,
            },
            "recipes": [{"kind": "attack", "name": "fgsm", "eps": "40/255"}],
            "output": {"path": str(folder / "out" / name), "shard_rows": 100},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document | changes))


def commands(folder: Path) -> dict[str, list[str]]:
    """Command lines by what they are called; those that read come after the one that makes what they read."""
    made = str(folder / "out" / "generate")
    reading = {verb: [verb, made] for verb in READING}
    reading["report"] += ["--to", str(folder / "report.html")]
    return {
        GENERATE: ["generate", str(folder / "generate.yaml")],
        **reading,
        HARDEN: ["harden", str(folder / "harden.yaml")],
        IN_PROCESS: ["generate", str(folder / "here.yaml")],
    }


def timed(checkout: Path, line: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of CPU that a command takes. Raises RuntimeError where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    done = watched([sys.executable, "-m", "hardset", *line], environment)
    if done.code:
        raise RuntimeError(f"{' '.join(line)}: {done.error}")
    return done.seconds, done.cpu_seconds


def measured(checkouts: Mapping[str, Path], rounds: int) -> dict[str, Any]:
    """Seconds of every command by checkout, the order of which is reversed every round."""
    wall: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cpu: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jobs(folder)
        for number in range(rounds):
            turns = list(checkouts.items())
            for which, checkout in turns if number % 2 else reversed(turns):
                shutil.rmtree(folder / "out", ignore_errors=True)
                for what, line in commands(folder).items():
                    if what == IN_PROCESS and which == THEN:
                        continue  # an earlier one may have no such setting
                    seconds, spent = timed(checkout, line)
                    wall[which][what].append(seconds)
                    cpu[which][what].append(spent)
                    print(f"round {number + 1}: {which}: {what}: {seconds:.2f} s, {spent:.2f} s of CPU", flush=True)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "seconds": medians(wall),
        "cpu_seconds": medians(cpu),
        "every": {"seconds": wall, "cpu_seconds": cpu},
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "load_at_end": os.getloadavg()[0], **versions()},
    }


def medians(found: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Medians of every list."""
    return {
        which: {what: round(statistics.median(values), 3) for what, values in lines.items()}
        for which, lines in found.items()
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as a page."""
    machine, wall, cpu = figures["machine"], figures["seconds"], figures["cpu_seconds"]
    busy = " The machine was busy with other work." if machine["load_at_end"] > machine["cores"] else ""
    lines = [
        "# Short commands",
        "",
        "A job of 200 digits, one FGSM recipe, two shards; hardening in two rounds of the same; and "
        "verbs that read what the job made. Every command is a process of its own; medians of "
        f"{figures['rounds']} rounds in which the versions take turns. {machine['cpu']}, "
        f"{machine['cores']} cores, torch "
        f"{machine['torch']}, load {machine['load_at_end']:.1f} at the end.{busy} CPU seconds count the "
        "command and what "
        "it started. Written by `python -m benchmarks.short_runs`.",
        "",
        "| command | s | CPU s |" + (" s before | CPU s before | of before | of CPU before |" if THEN in wall else ""),
        "|---|---|---|" + ("---|---|---|---|" if THEN in wall else ""),
    ]
    for what, seconds in wall[NOW].items():
        line = f"| {what} | {seconds:.2f} | {cpu[NOW][what]:.2f} |"
        if THEN in wall:
            base = GENERATE if what == IN_PROCESS else what
            before, spent = wall[THEN][base], cpu[THEN][base]
            line += f" {before:.2f} | {spent:.2f} | {seconds / before:.2f} | {cpu[NOW][what] / spent:.2f} |"
        lines.append(line)
    if figures["rounds"] < 3:
        lines += ["", "So few rounds tell large differences only."]
    if THEN in wall:
        lines += ["", f"`{IN_PROCESS}` is held against `{GENERATE}` of the version before, which always started Ray."]
    return "\n".join([*lines, ""])


def main(
    against: Annotated[Path | None, typer.Option(help="Checkout of an earlier version.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Processes of each command.")] = 3,
    out: Path = FIGURES,
) -> None:
    """Measures and writes figures and page."""
    checkouts = {NOW: HERE} | ({THEN: against.resolve()} if against is not None else {})
    figures = measured(checkouts, rounds)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(table(figures), encoding="utf-8")
    print(table(figures))


if __name__ == "__main__":
    typer.run(main)
