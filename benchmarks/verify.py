"""Measures `hardset verify` without the model: rows per second of one core, and memory, on datasets of several sizes.

    python -m benchmarks.verify [--rows 20000 100000] [--out docs/benchmarks/verify.json]

The rows have the columns of adversarial rows, 32 x 32 RGB, in shards of 5,000, written by hardset's writer; noise of
up to 8 levels on smooth colours stands in for an attack. Each size is audited in separate processes, best of three. A
rate is rows per second of process CPU time, so a second core does not raise it; imports are excluded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.records import commit

from hardset.pipeline.audit.verify import verify
from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.parquet import encode_rows
from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.judging.judge import distances, verify_id
from hardset.pipeline.judging.masking import signals_of
from hardset.pipeline.models.loading import model_id
from hardset.pipeline.models.roles import VICTIM
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.commit import commit_run, make_manifest
from hardset.pipeline.sources.base import key_of
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import image_sha256, row_id, row_seed
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Output, Plan, Shard
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.success import attacked

SIDE, CLASSES, LEVELS = 32, 10, 8
SHARD_ROWS = 5_000
ROUNDS = 3
TARGET = 20_000
"""Required rows per second of one core."""


def main() -> None:
    """Measures every size, prints the figures and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/verify.json"))
    parser.add_argument("--audit", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.audit is not None:
        print(json.dumps(audit(asked.audit)))
        return
    sizes = [measured(rows) for rows in asked.rows]
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    found = {"side": SIDE, "shard_rows": SHARD_ROWS, "sizes": sizes, "versions": versions(), "machine": machine}
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    asked.out.with_suffix(".md").write_text(page(found))
    print(page(found))


def measured(rows: int) -> dict[str, Any]:
    """Figures for a dataset of `rows` rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        build(folder, rows)
        size = sum(file.stat().st_size for file in folder.glob("out/data/**/*.parquet"))
        command = [sys.executable, "-m", "benchmarks.verify", "--audit", str(folder / "out")]
        rounds = []
        for _ in range(ROUNDS):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        "rows": rows,
        "bytes": size,
        "rows_per_cpu_second": max(one["rows_per_cpu_second"] for one in rounds),
        "rows_per_second": max(one["rows_per_second"] for one in rounds),
        "memory_added_bytes": min(one["memory_added_bytes"] for one in rounds),
    }


def audit(folder: Path) -> dict[str, float]:
    """Verifies a dataset once; memory is the process's peak minus its size before."""
    before = _peak()
    cpu, wall = time.process_time(), time.perf_counter()
    findings = verify(Folder(str(folder)), sample=0)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if findings.faults:
        raise SystemExit(f"the dataset has faults: {findings.faults[:3]}")
    rates = {"rows_per_cpu_second": round(findings.rows / cpu), "rows_per_second": round(findings.rows / wall)}
    return {**rates, "memory_added_bytes": _peak() - before}


def _peak() -> int:
    """Peak resident size in bytes. Not ru_maxrss, which on Linux starts with the parent process's peak."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def build(place: Path, rows: int) -> None:
    """Writes a finished run of `rows` rows."""
    source = place / "source.npz"
    clean = [_clean(start, min(SHARD_ROWS, rows - start)) for start in range(0, rows, SHARD_ROWS)]
    np.savez(source, images=np.concatenate(clean), labels=np.arange(rows) % CLASSES)
    job = parse_job(_document(source, place / "out"))
    plan, folder = make_plan(job), Folder(job.output.path)
    ledger = Ledger(folder, plan.run_id)
    with Lineage(folder, plan) as lineage:
        ledger.write_plan(plan)
        pairs = zip(plan.shards, clean, strict=True)
        done = {shard.key: _commit(ledger, job, plan, shard, images) for shard, images in pairs}
        manifest = make_manifest(job, plan, done, [], "2026-01-01T00:00:00+00:00")
        commit_run(ledger, plan, manifest, lineage)


def _document(source: Path, out: Path) -> dict[str, Any]:
    return {
        "name": "verify-benchmark",
        "source": {"format": "npz", "path": str(source)},
        "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": CLASSES},
        "recipes": [{"kind": "attack", "name": "pgd", "norm": "linf", "eps": f"{LEVELS}/255", "steps": 10}],
        "output": {"path": str(out), "shard_rows": SHARD_ROWS},
    }


def _commit(ledger: Ledger, job: Job, plan: Plan, shard: Shard, clean: Pixels) -> Output:
    columns = _columns(job, plan, shard, clean)
    counted = attacked(columns["clean_pred"], columns["label"])
    counts = Counts(
        rows_in=shard.rows,
        expected=shard.rows,
        rows_out=shard.rows,
        attacked=int(counted.sum()),
        success=int(columns["success"].sum()),
        signals=signals_of(columns, counted),
    )
    footer = {"run_id": plan.run_id, "shard_key": shard.key}
    data = encode_rows(columns, classes=plan.classes, footer=footer)
    return commit(ledger, shard, data, columns, counts)


def _columns(job: Job, plan: Plan, shard: Shard, clean: Pixels) -> dict[str, Any]:
    stored = _attacked(clean, shard.start)
    count, this = shard.rows, plan.recipes[0]
    assert shard.range is not None
    keys = [key_of(plan.ranges[shard.range], row)[0] for row in range(shard.start, shard.stop)]
    sources = [image_sha256(image) for image in clean]
    named = zip(sources, keys, strict=True)
    ids = [row_id(recipe=this, source_sha256=source, source_key=key, variant=0) for source, key in named]
    files = zip(encode_png(stored), ids, strict=True)
    labels = np.arange(shard.start, shard.stop) % CLASSES
    fallen = np.arange(count) % 3 > 0
    margin = np.where(fallen, -1.5, 1.5).astype(np.float32) * np.linspace(0.1, 1, count, dtype=np.float32)
    levels, l2, l1 = distances(stored, clean)
    pred = np.where(fallen, (labels + 1) % CLASSES, labels)
    return {
        **_same(count, job, plan, this),
        "image": [{"bytes": data, "path": f"{name}.png"} for data, name in files],
        "label": labels,
        "row_id": ids,
        "image_sha256": [image_sha256(image) for image in stored],
        "source_index": np.arange(shard.start, shard.stop),
        "source_key": keys,
        "source_sha256": sources,
        "seed": np.array([row_seed(run_seed=job.seed, recipe=this, source_key=key, variant=0) for key in keys]),
        "clean_pred": labels,
        "float_pred": pred,
        "pred": pred,
        "clean_margin": np.abs(margin),
        "float_margin": margin,
        "margin": margin,
        "confidence": 1 / (1 + (CLASSES - 1) * np.exp(-np.abs(margin))),  # all other classes alike
        "success": fallen,
        "linf_levels": levels,
        "l2": l2,
        "l1": l1,
    }


def _same(count: int, job: Job, plan: Plan, recipe: str) -> dict[str, Any]:
    """Columns that hold one value for all rows."""
    victim = plan.models[VICTIM]
    texts = {
        "kind": ADVERSARIAL,
        "source_dataset": plan.job["source"]["path"],
        "source_split": "train",
        "run_id": plan.run_id,
        "recipe_id": recipe,
        "op": "pgd_linf",
        "model_id": model_id(plan.job["model"], victim),
        "model_sha256": victim,
        "norm": "Linf",
        "verify_id": verify_id(job.run.batch, stochastic=job.stochastic),
        "found_by": "pgd",
        "flags": "",
    }
    numbers: dict[str, float] = {"width": SIDE, "height": SIDE, "variant": 0, "steps": 10, "queries": 0}
    numbers |= {"eps": LEVELS / 255}
    return {name: [value] * count for name, value in texts.items()} | {
        name: np.full(count, value) for name, value in numbers.items()
    }


def _clean(start: int, rows: int) -> Pixels:
    """Images of smooth colours. `start`: the first row's number, which they are drawn by."""
    slopes = np.random.default_rng(start).uniform(1, 3, (rows, 1, 1, 3)).astype(np.float32)
    ramp = np.linspace(0, 3, SIDE, dtype=np.float32)
    clean: Pixels = (127 + 90 * np.sin(ramp[:, None, None] * slopes + ramp[None, :, None])).astype(np.uint8)
    return clean


def _attacked(clean: Pixels, start: int) -> Pixels:
    """The images with noise of up to `LEVELS` levels."""
    noise = np.random.default_rng([start, 1]).integers(-LEVELS, LEVELS + 1, clean.shape, np.int16)
    return np.clip(clean + noise, 0, 255).astype(np.uint8)


def page(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "# Speed of `hardset verify` without the model",
        "",
        "Made by `python -m benchmarks.verify`; the numbers are in `verify.json`.",
        f"{SIDE} x {SIDE} RGB rows in shards of {found['shard_rows']:,}, Python {found['versions']['python']}, "
        f"{found['machine']}. Target: {TARGET:,} rows/s of one core.",
        "",
        "| rows | data | rows per CPU second | rows per second | memory added |",
        "|---|---|---|---|---|",
    ]
    for size in found["sizes"]:
        data, memory = (f"{size[name] / 1e6:,.0f} MB" for name in ("bytes", "memory_added_bytes"))
        rates = f"{size['rows_per_cpu_second']:,} | {size['rows_per_second']:,}"
        lines.append(f"| {size['rows']:,} | {data} | {rates} | {memory} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
