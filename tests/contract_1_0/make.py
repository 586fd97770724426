"""A dataset as hardset wrote it under row contract 1.0, a few rows of each family and a row in quarantine.

`dataset/`, `source/` and the weights beside them were made by commit 68dba81, the last one of that contract:

    git worktree add ../contract-1.0 68dba81
    cp -r tests/contract_1_0 ../contract-1.0/tests/
    cd ../contract-1.0 && python -m tests.contract_1_0.make

Everything runs in this process; the dataset's paths are relative to the root of the checkout.
"""
# ruff: noqa: TID251 - the import names are those of that commit

from __future__ import annotations

import io
import socket
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from PIL import Image
from torch import nn

HOME = Path("tests/contract_1_0")
SIDE, CLASSES = 8, 3


def linear() -> nn.Module:
    """The smallest classifier: 8 x 8 grey images in, 3 logits out."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))


def main() -> None:
    """Writes source, weights and dataset."""
    from jobs.train_gan import train
    from pipeline.bench import Bench
    from pipeline.plan import make_plan
    from pipeline.run import _output, make_manifest
    from pipeline.shard import run_shard
    from pipeline.sinks.card import write_card
    from pipeline.sinks.ledger import Ledger
    from pipeline.storage import Folder
    from schemas.loading import parse_job

    socket.gethostname = lambda: "anywhere"  # receipts name it
    torch.manual_seed(0)
    torch.set_num_threads(1)
    _write_source()
    safetensors.torch.save_file(linear().state_dict(), str(HOME / "linear.safetensors"))
    job = parse_job(
        {
            "name": "contract-1.0",
            "seed": 7,
            "source": {"format": "parquet", "path": str(HOME / "source")},
            "model": {
                "factory": "tests.contract_1_0.make:linear",
                "weights": str(HOME / "linear.safetensors"),
                "classes": CLASSES,
            },
            "recipes": [
                {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "40/255", "steps": 5},
                {"kind": "attack", "name": "fgsm", "norm": "l2", "eps": "1/2", "target": "next"},
                {"kind": "augment", "ops": [{"name": "rotate", "degrees": 15}], "variants": 2},
                {
                    "kind": "sample",
                    "per_class": 1,
                    "generator": {
                        "weights": str(HOME / "generator.safetensors"),
                        "training": {"steps": 2, "batch": 4, "latent": 2, "features": 8},
                    },
                },
            ],
            "output": {"path": str(HOME / "dataset")},
            "run": {"batch": 4},
        }
    )
    train(job)
    plan, folder = make_plan(job), Folder(job.output.path)
    ledger, bench = Ledger(folder, plan.run_id), Bench(job, plan, torch.device("cpu"))
    ledger.write_plan(plan)
    done = {}
    for shard in plan.shards:
        part = None if shard.range is None else plan.ranges[shard.range]
        done[shard.key] = _output(plan, run_shard(shard, part, bench, ledger))
    manifest = make_manifest(job, plan, done, [], "2026-01-01T00:00:00+00:00")
    write_card(folder, manifest)
    ledger.write_manifest(manifest)


def _write_source() -> None:
    rng = np.random.default_rng(0)
    files = []
    for number in range(7):
        target = io.BytesIO()
        pixels = rng.integers(0, 256, (SIDE, SIDE), np.uint8)
        Image.fromarray(pixels).save(target, "PNG")
        files.append({"bytes": target.getvalue() if number != 3 else b"no image", "path": f"{number}.png"})
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    labels = pa.array([0, 1, 2, 0, 1, 2, 0], pa.int64())
    (HOME / "source").mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(files, image), "label": labels}), HOME / "source" / "train.parquet")


if __name__ == "__main__":
    main()
