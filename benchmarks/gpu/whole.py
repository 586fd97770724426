"""Whole shards at the size of photographs: from JPEG bytes to Parquet bytes, and what bounds them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from benchmarks.gpu.networks import networks
from benchmarks.gpu.setting import Line, Part, Record, Setting
from PIL import Image
from torch import nn

from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.bottleneck import Meter, shares_of
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job

_CLASSES = 10
_FILES = 4
_FRACTIONS = (1, 0.25)
"""GPUs per actor in the runs with Ray."""


def classifier(tiny: bool) -> nn.Module:
    """Factory of the jobs below: an untrained ResNet-50."""
    network = networks(Setting(torch.device("cpu"), tiny))[0]
    return nn.Sequential(network.module(torch.device("cpu")), nn.Linear(network.classes, _CLASSES))


def lines(setting: Setting) -> Mapping[str, Line]:
    """One worker in this process, then actors."""
    found: dict[str, Line] = {"one worker": lambda: worker_line(setting)}
    fractions = _FRACTIONS if setting.device.type == "cuda" else () if setting.tiny else (0,)
    for gpus in fractions:
        found[f"with Ray, gpus_per_actor {gpus}"] = lambda gpus=gpus: actors_line(gpus, setting)
    return found


def make_photographs(folder: Path, rows: int, setting: Setting) -> int:
    """Writes a Parquet source of JPEG images in the Hugging Face layout; mean bytes of an image."""
    images = []
    for pixels in networks(setting)[0].pixels(rows):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        images.append({"bytes": buffer.getvalue(), "path": None})
    each = -(-rows // _FILES)
    for number in range(_FILES):
        part = images[number * each : (number + 1) * each]
        labels = [at % _CLASSES for at in range(len(part))]
        pq.write_table(pa.table({"image": part, "label": labels}), folder / f"train-{number:05d}.parquet")
    return sum(len(one["bytes"]) for one in images) // rows


def job_of(folder: Path, out: str, setting: Setting, **run: Any) -> Job:
    """PGD-10, all steps of all rows, in bfloat16."""
    attack = {"kind": "attack", "name": "pgd", "eps": "4/255", "steps": setting.size(10, 2)}
    attack |= {"stop": "never", "misclassified": "attack"}
    return parse_job(
        {
            "name": "photographs",
            "source": {"format": "parquet", "path": str(folder / "*.parquet")},
            "model": {
                "factory": "benchmarks.gpu.whole:classifier",
                "arguments": {"tiny": setting.tiny},
                "classes": _CLASSES,
            },
            "recipes": [attack],
            "output": {"path": str(folder / out), "shard_rows": setting.size(256, 4)},
            "run": {"batch": setting.size(256, 4), "precision": "bfloat16"} | run,
        }
    )


def worker_line(setting: Setting) -> Record:
    """A worker with three shards in hand: rows per second, busy shares, and how many cores feed one device."""
    rows = setting.size(2048, 16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jpeg_bytes = make_photographs(folder, rows, setting)
        job = job_of(folder, "out", setting)
        plan = make_plan(job)
        ledger, worker = Ledger(Folder(job.output.path), plan.run_id), Worker(job, plan, setting.device)
        ledger.write_plan(plan)
        first, *others = plan.shards
        assert first.range is not None
        run_shard(first, plan.ranges[first.range], worker, ledger)  # loads the model and settles how it runs
        started, processor = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(3) as pool:
            receipts = list(pool.map(lambda shard: run_shard(shard, plan.ranges[shard.range], worker, ledger), others))
        seconds, cpu = time.perf_counter() - started, time.process_time() - processor
        found = Meter(receipts).throughput()
        written = sum(file.stat().st_size for file in Path(job.output.path).rglob("*.parquet"))
    assert found is not None
    spent = {
        stage: sum(getattr(one.seconds, stage) for one in receipts) for stage in ("read", "device", "encode", "write")
    }
    made = sum(one.counts.rows_out for one in receipts)
    return {
        "rows": made,
        "jpeg_bytes": jpeg_bytes,
        "parquet_bytes": written // rows,
        "rows_per_second": round(made / seconds, 2),
        "busy": {name: round(share, 3) for name, share in shares_of(found.busy).items() if name != "nothing"},
        "bound": found.bound,
        "stage_seconds": {stage: round(value, 3) for stage, value in spent.items()},
        "cores_used": round(cpu / seconds, 2),
        "cores_feeding_one_device": round((spent["read"] + spent["encode"] + spent["write"]) / spent["device"], 2),
        "cores_here": os.cpu_count(),
    }


def actors_line(gpus: float, setting: Setting) -> Record:
    """A whole run of `hardset generate` with as many actors as one card holds at this fraction."""
    if importlib.util.find_spec("ray") is None:
        return {"left_out": "Ray is not installed: actors with fractions of a GPU stay untested here"}
    from hardset.pipeline.run.generation import generate  # noqa: PLC0415 (imports Ray)

    actors = int(1 / gpus) if gpus else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photographs(folder, setting.size(1024, 16), setting)
        job = job_of(folder, "out", setting, actors=actors, gpus_per_actor=gpus)
        with contextlib.redirect_stdout(io.StringIO()):
            done = generate(job)
    found = done.manifest.throughput if done.manifest is not None else None
    return {
        "status": done.status,
        "actors": actors,
        "rows_per_second": None if found is None else round(found.rows_per_s, 2),
        "bound": None if found is None else found.bound,
    }


PART = Part("whole", "whole shards at 224 px, from JPEG to Parquet", 60, lines)
