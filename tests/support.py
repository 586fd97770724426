"""Jobs on a small trained model, runs of them with and without the real command line, and digests of what came out."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from hardset.jobs.app import run
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.commit import commit_run, make_manifest
from hardset.pipeline.run.precheck import check_before
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Manifest, Output, Shard

RECIPES: list[dict[str, Any]] = [
    {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "40/255", "steps": 5},
    {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": {"min": "2/255", "max": "0.15"}},
    {
        "kind": "augment",
        "ops": [{"name": "rotate", "degrees": 15}, {"name": "gaussian_noise", "std": 0.05}],
        "variants": 2,
    },
]


ANY = {"agreement": 0, "coverage": 0, "judge": 0}
"""Gates for the tests' generator, which has been trained for 30 steps and would not be admitted otherwise."""


def document(weights: dict[str, str], out: Path | str, *, sample: bool = False, **changes: Any) -> dict[str, Any]:
    """A job file's content; `changes` replace whole sections."""
    recipes = list(RECIPES)
    if sample:
        settings = {"steps": 30, "batch": 32, "features": 16}
        recipes.append(
            {
                "kind": "sample",
                "generator": {"weights": weights["generator"], "training": settings},
                "per_class": 12,
                "admit": ANY,
            }
        )
    base = {
        "name": "test",
        "seed": 7,
        "source": {"format": "digits", "limit": 300},
        "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "weights": weights["victim"], "classes": 10},
        "recipes": recipes,
        "output": {"path": str(out), "shard_rows": 100},
        "run": {"actors": 2, "batch": 64},
    }
    return base | changes


def job_of(weights: dict[str, str], out: Path | str, **changes: Any) -> Job:
    """The same as a validated job."""
    return parse_job(document(weights, out, **changes))


def make_here(job: Job, *, depth: int = 1, order: Callable[[Sequence[Shard]], Sequence[Shard]] = tuple) -> Manifest:
    """The whole run in this process, `depth` shards at once and in any order: it spares seconds of starting Ray."""
    plan, folder = make_plan(job), Folder(job.output.path)
    check_before(job, plan)
    ledger, worker = Ledger(folder, plan.run_id), Worker(job, plan, torch.device("cpu"))
    ledger.write_plan(plan)

    def make(shard: Shard) -> Output:
        part = None if shard.range is None else plan.ranges[shard.range]
        return run_shard(shard, part, worker, ledger).output(shard)

    with ThreadPoolExecutor(depth) as pool:
        done = {output.key: output for output in pool.map(make, order(plan.shards))}
    manifest = make_manifest(job, plan, done, [], "2026-01-01T00:00:00+00:00")
    with Lineage(folder, plan) as lineage:
        return commit_run(ledger, plan, manifest, lineage)


def hardset(*arguments: str | Path, own_process: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a command line: in a process of its own as users do, or here, which spares seconds of imports."""
    line = [str(argument) for argument in arguments]
    if own_process:
        command = [sys.executable, "-c", "from hardset.jobs.app import main; main()", *line]
        return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(line)
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object on the last line of stdout."""
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every data and quarantine file, by relative path."""
    files = [*out.glob("data/**/*.parquet"), *out.glob("_hardset/quarantine/*.jsonl")]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def quarantined(out: Path) -> list[dict[str, Any]]:
    """The records of all quarantine files, as a stranger reads them."""
    lines = [line for file in sorted(out.glob("_hardset/quarantine/*.jsonl")) for line in file.open()]
    return [json.loads(line) for line in lines]
