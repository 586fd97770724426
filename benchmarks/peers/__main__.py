"""Whole runs of `hardset generate` and of the pipelines of `benchmarks.peers.written`, in turns, on the same rows.

    python -m benchmarks.peers --data FOLDER [--case pgd --case fgsm ...] [--rounds 3] [--share 1.0]

FOLDER holds `cifar10_test_jpeg.parquet`, `imagenet250.parquet` and `weights/cifar_resnet20.safetensors`. Every run is a
process of its own, from its start to its end; the order is reversed every round. `make bench-peers` makes the
environment. Writes docs/benchmarks/peers.json and the page beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from benchmarks.end_to_end import cpu_name
from benchmarks.peers.audit import audited, stored_rows
from benchmarks.peers.cases import CASES, Case, job_document
from benchmarks.peers.page import page
from benchmarks.peers.watched import watched

from hardset.pipeline.dataset.provenance.environment import versions

FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "peers.json"
OURS = "hardset"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
"""Ray's workers yield to others by default, which a pool's do not; on a busy machine that would be measured."""
LIBRARIES = ("torchattacks", "foolbox", "albumentations")


def one_run(name: str, case: Case, data: str, folder: Path, rows: int) -> dict[str, float]:
    """Seconds, CPU seconds and rates of one run, from the start of its process to its end."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    line = [sys.executable, "-m", "benchmarks.peers.written", name, case.name, data, str(out), str(rows)]
    if name == OURS:
        job = folder / "job.yaml"
        job.write_text(yaml.safe_dump(job_document(case, data, str(out), rows)))
        line = [sys.executable, "-m", "hardset", "generate", str(job)]
    done = watched(line, os.environ | ENVIRONMENT)
    if done.code not in (0, 3):
        raise RuntimeError(f"{name}: {done.error}")
    table = stored_rows(out)
    wanted = rows * max(1, len(case.budgets))
    if len(table) != wanted:
        raise RuntimeError(f"{name}: {len(table)} rows, and not {wanted}: {done.error}")
    megabytes = sum(file.stat().st_size for file in out.rglob("*.parquet")) / 1e6
    return {
        "seconds": done.seconds,
        "rows_per_s": len(table) / done.seconds,
        "cpu_seconds": done.cpu_seconds,
        "rows_per_cpu_s": len(table) / done.cpu_seconds,
        "megabytes": megabytes,
    }


def measured(case: Case, data: str, rounds: int, share: float, peers: list[str]) -> dict[str, Any]:
    """Figures of one case. `share`: of its rows that are made."""
    rows = max(2, round(case.rows * share))
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(rounds):
            turns = [OURS, *peers]
            for contender in turns if number % 2 == 0 else reversed(turns):
                runs[contender].append(one_run(contender, case, data, folder, rows))
                print(f"{case.name}, round {number + 1}: {contender}: {runs[contender][-1]}", flush=True)
                if contender not in found:
                    found[contender] = audited(case, data, stored_rows(folder / "out"), rows)
    medians = {
        contender: {key: statistics.median(run[key] for run in these) for key in these[0]}
        for contender, these in runs.items()
    }
    ratios = {
        peer: {key: medians[OURS][key] / medians[peer][key] for key in ("rows_per_s", "rows_per_cpu_s")}
        for peer in peers
    }
    return {
        "title": case.title,
        "rows": rows,
        "made": rows * max(1, len(case.budgets)),
        "rounds": rounds,
        "medians": medians,
        "ratios": ratios,
        "stored": found,
        "runs": runs,
        "load": os.getloadavg()[0],
        "date": datetime.now(UTC).date().isoformat(),
    }


def main(
    data: Annotated[Path, typer.Option(help="Folder of the real rows and weights.")],
    case: Annotated[list[str] | None, typer.Option(help="Cases to measure; others keep their figures.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="Peers of the cases to measure; without it, all.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    share: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of each case's rows.")] = 1.0,
    out: Path = FIGURES,
) -> None:
    """Measures and writes figures and page."""
    figures: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"cases": {}}
    for name in case or CASES:
        beside = [one for one in CASES[name].peers if not peer or one in peer]
        figures["cases"][name] = measured(CASES[name], str(data.resolve()), rounds, share, beside)
        figures["machine"] = {"cpu": cpu_name(), "cores": os.cpu_count(), **versions()}
        figures["libraries"] = {library: version(library) for library in LIBRARIES}
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(page(figures), encoding="utf-8")
    print(page(figures))


if __name__ == "__main__":
    typer.run(main)
