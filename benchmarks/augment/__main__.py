"""Compares augmentation with albumentations, kornia and torchvision on one core.

    python -m benchmarks.augment [--sides 32 224] [--seconds 0.2] [--rounds 3] [--only NAME] [--rows 1024] [--out FILE]

The libraries stand in an environment of their own: `pip install albumentations==2.0.8 'kornia>=0.9,<0.10' torchvision`
beside hardset's dependencies. One that is not installed, or fails, is left out of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from benchmarks.augment import page
from benchmarks.augment.contenders import LIBRARIES, US, Work, contender
from benchmarks.augment.table import Line, lines
from PIL import Image
from sklearn.datasets import load_sample_image

from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import parse_job

FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "augment.json"
NAMES = ("numpy", "opencv-python-headless", "torch", "albumentations", "kornia", "torchvision")


def photographs(side: int, count: int) -> np.ndarray:
    """Cuts of a photograph that scikit-learn brings, uint8 (N, side, side, 3)."""
    whole, found = load_sample_image("flower.jpg"), []
    for number in range(count):
        top, left = (37 * number) % (whole.shape[0] - 224), (53 * number) % (whole.shape[1] - 224)
        cut = whole[top : top + 224, left : left + 224]
        found.append(cut if side == 224 else cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA))
    return np.stack(found)


def rate(work: Work, pixels: np.ndarray, seconds: float) -> float:
    """Rows per second of CPU time."""
    done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        work(pixels)
        done += len(pixels)
    return done / spent


def measured(side: int, asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Rows per second by operation and library; the type of the error where a library failed."""
    pixels, found = photographs(side, 48 if side > 64 else 256), {}
    for name, line in lines(side).items():
        if asked.only and name not in asked.only:
            continue
        able, faults = _able(line, pixels)
        rates: dict[str, list[float]] = {library: [] for library in able}
        for number in range(asked.rounds):
            turn = list(able.items())
            for library, work in turn if number % 2 == 0 else reversed(turn):
                rates[library].append(rate(work, pixels, asked.seconds))
        found[name] = {library: statistics.median(values) for library, values in rates.items()} | faults
        told = {key: value if isinstance(value, str) else round(value) for key, value in found[name].items()}
        print(side, name, told, flush=True)
    return found


def _able(line: Line, pixels: np.ndarray) -> tuple[dict[str, Work], dict[str, str]]:
    """Those that have the operation and gave images of the shape; and the errors of those that did not, as figures."""
    able, faults = {}, {}
    for name in (US, *LIBRARIES):
        try:
            work = contender(line, name)
            if work is not None:
                assert work(pixels).shape == pixels.shape
                able[name] = work
        except Exception as error:
            faults[f"{name}_fault"] = type(error).__name__
    return able, faults


def end_to_end(rows: int, side: int) -> dict[str, Any]:
    """Seconds by stage of a run over JPEG files, made in this process."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for number, image in enumerate(photographs(side, rows)):
            folder = home / "source" / f"class{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number:05}.jpg", quality=90)
        job = parse_job(
            {
                "name": "end-to-end",
                "source": {"format": "imagefolder", "path": str(home / "source")},
                "recipes": [{"kind": "augment", "ops": [{"name": "rand_augment"}]}],
                "output": {"path": str(home / "out"), "shard_rows": 256},
            }
        )
        plan, folder_out = make_plan(job), Folder(job.output.path)
        ledger, worker = Ledger(folder_out, plan.run_id), Worker(job, plan, torch.device("cpu"))
        ledger.write_plan(plan)
        totals = dict.fromkeys(("read", "device", "encode", "write"), 0.0)
        for shard in plan.shards:
            assert shard.range is not None
            receipt = run_shard(shard, plan.ranges[shard.range], worker, ledger)
            for stage in totals:
                totals[stage] += getattr(receipt.seconds, stage)
    total = sum(totals.values())
    return {
        "rows": rows,
        "side": side,
        "stages": totals,
        "rows_per_second": rows / total,
        "share": totals["device"] / total,
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that are there."""
    found = {}
    for name in NAMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 32])
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append")
    parser.add_argument("--rows", type=int, default=1024, help="photographs of the run end to end; 0: none")
    parser.add_argument("--out", type=Path, default=FIGURES)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    info = Path("/proc/cpuinfo")
    names = [one for one in info.read_text().splitlines() if one.startswith("model name")] if info.exists() else []
    figures: dict[str, Any] = {
        "machine": {"cpu": names[0].partition(": ")[2] if names else "", "cores": os.cpu_count()},
        "versions": versions(),
        "seconds": asked.seconds,
        "rounds": asked.rounds,
        "sides": {str(side): measured(side, asked) for side in asked.sides},
    }
    if asked.rows:
        figures["end_to_end"] = end_to_end(asked.rows, max(asked.sides))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(figures, indent=2) + "\n")
    if not asked.only:
        asked.out.with_suffix(".md").write_text(page.text(figures))


if __name__ == "__main__":
    main()
