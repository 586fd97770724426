"""A dataset as hardset wrote it under row contract 1.1, a few rows of each family and a row in quarantine.

`dataset/`, `source/` and the weights beside them were made by commit ef12315, the last one with the import names
`pipeline`, `jobs` and `schemas`, so that its records name hardset's own networks as `pipeline.models.zoo:...`:

    git worktree add ../contract-1.1 ef12315
    cp -r tests/contract_1_1 ../contract-1.1/tests/
    cd ../contract-1.1 && python -m tests.contract_1_1.make

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

HOME = Path("tests/contract_1_1")
SIDE, CLASSES = 8, 3
HELD_OUT = {"classes": CLASSES, "channels": 1, "width": 0.03125}


def linear() -> nn.Module:
    """The smallest classifier: 8 x 8 grey images in, 3 logits out."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))


def main() -> None:
    """Writes source, weights and dataset."""
    from jobs.train_gan import train
    from pipeline.bench import Bench
    from pipeline.models.zoo import mobilenet_v1
    from pipeline.plan import make_plan
    from pipeline.run.commit import make_manifest
    from pipeline.shard import run_shard
    from pipeline.sinks.card import write_card
    from pipeline.sinks.ledger import Ledger
    from pipeline.sinks.statement import write_statement
    from pipeline.storage import Folder
    from schemas.loading import parse_job

    socket.gethostname = lambda: "anywhere"  # receipts name it
    torch.manual_seed(0)
    torch.set_num_threads(1)
    _write_source()
    safetensors.torch.save_file(linear().state_dict(), str(HOME / "linear.safetensors"))
    safetensors.torch.save_file(mobilenet_v1(**HELD_OUT).state_dict(), str(HOME / "held_out.safetensors"))
    job = parse_job(_job())
    train(job)
    plan, folder = make_plan(job), Folder(job.output.path)
    ledger, bench = Ledger(folder, plan.run_id), Bench(job, plan, torch.device("cpu"))
    ledger.write_plan(plan)
    done = {}
    for shard in plan.shards:
        part = None if shard.range is None else plan.ranges[shard.range]
        done[shard.key] = run_shard(shard, part, bench, ledger).output(shard)
    manifest = make_manifest(job, plan, done, [], "2026-01-01T00:00:00+00:00")
    write_card(folder, manifest)
    ledger.write_manifest(write_statement(folder, plan, manifest))


def _job() -> dict[str, object]:
    return {
        "name": "contract-1.1",
        "seed": 7,
        "source": {"format": "parquet", "path": str(HOME / "source")},
        "model": {
            "factory": "tests.contract_1_1.make:linear",
            "weights": str(HOME / "linear.safetensors"),
            "classes": CLASSES,
        },
        "transfer_to": [
            {
                "name": "held-out",
                "factory": "pipeline.models.zoo:mobilenet_v1",
                "arguments": HELD_OUT,
                "weights": str(HOME / "held_out.safetensors"),
            }
        ],
        "recipes": [
            {
                "kind": "attack",
                "name": "pgd",
                "norm": "linf",
                "eps": ["8/255", "40/255"],
                "steps": 5,
                "misclassified": "skip",
            },
            {"kind": "attack", "name": "fgsm", "norm": "l2", "eps": "1/2", "target": "next"},
            {"kind": "attack", "name": "apgd_ce", "norm": "l1", "eps": "4", "steps": 5},
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
