"""Rows, shards and manifests that the tests of the sinks store."""

from __future__ import annotations

from typing import Any

import numpy as np

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.parquet import encode_rows
from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.dataset.files.quarantine import encode_quarantine
from hardset.pipeline.dataset.records.ledger import Ledger, data_file, quarantine_file
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import content_sha256, image_sha256, row_id
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure, Image, Manifest, Plan, Receipt, Shard
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, CONTRACT_VERSION, GENERATED, schema_sha256

CLASSES = ("no", "été: 7", "tench, Tinca tinca")
RUN = "0a1b2c3d-1111-8222-8333-444455556666"
FOOTER = {"run_id": RUN, "shard_key": "k" * 64, "recipes": {"r" * 16: {"kind": "attack"}}, "models": {"victim": "m"}}


def pixels_of(count: int, *, size: int = 8, channels: int = 3, seed: int = 0) -> Pixels:
    """Random images, uint8, count x size x (size + 1) x channels."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size + 1, channels), np.uint8)


def columns_of(pixels: Pixels, kind: str = ADVERSARIAL, *, run_id: str = RUN, start: int = 0) -> dict[str, Any]:
    """All columns that rows of the kind must fill."""
    count, height, width, _ = pixels.shape
    numbers = np.arange(start, start + count)
    labels = numbers % len(CLASSES)
    ids = [row_id(recipe=kind, source_sha256="", source_key=f"key{i}", variant=0) for i in numbers]
    columns: dict[str, Any] = {
        "image": [{"bytes": b, "path": f"{i}.png"} for b, i in zip(encode_png(pixels), ids, strict=True)],
        "label": labels,
        "row_id": ids,
        "kind": [kind] * count,
        "image_sha256": [image_sha256(image) for image in pixels],
        "width": np.full(count, width, np.int32),
        "height": np.full(count, height, np.int32),
        "source_key": [f"key{i}" for i in numbers],
        "run_id": [run_id] * count,
        "recipe_id": ["r" * 16] * count,
        "op": ["pgd_linf"] * count,
        "variant": np.zeros(count, np.int32),
        "seed": numbers * 2**40,
    }
    if kind != GENERATED:
        columns |= {"source_dataset": ["s3://b/d"] * count, "source_split": ["train"] * count, "source_index": numbers}
        columns |= {"source_sha256": ["0" * 64] * count}
    if kind == AUGMENTED:
        columns["params"] = ['{"flip":true}'] * count
    if kind != AUGMENTED:
        columns |= {"model_id": ["small_cnn"] * count, "model_sha256": ["1" * 64] * count}
    if kind == ADVERSARIAL:
        margins = np.linspace(-1, 1, count, dtype=np.float32)
        columns |= dict.fromkeys(("clean_margin", "float_margin", "margin", "confidence", "l1", "l2"), margins)
        columns |= dict.fromkeys(("clean_pred", "float_pred", "pred"), labels)
        columns |= {"norm": ["Linf"] * count, "eps": np.full(count, 8 / 255), "steps": np.full(count, 10, np.int32)}
        columns |= {"linf_levels": np.full(count, 8, np.int32), "success": margins < 0}
        columns |= {"queries": np.zeros(count, np.int32), "found_by": ["pgd"] * count, "flags": [""] * count}
        columns["verify_id"] = ["fp32-tf32off-b256"] * count
    return columns


def shard_of(index: int, *, split: str = "train", recipe: int = 0, key: str = "") -> Shard:
    """One shard of three rows."""
    start = 3 * index
    return Shard(
        index=index, key=key or f"{index:064x}", recipe=recipe, range=0, split=split, start=start, stop=start + 3
    )


def commit_shard(ledger: Ledger, shard: Shard, *, seed: int | None = None, lost: int = 0, **changes: Any) -> Receipt:
    """Commits three rows, or fewer and some lost ones. `seed` sets other bytes than the shard's own."""
    pixels = pixels_of(3 - lost, seed=shard.index if seed is None else seed)
    columns = columns_of(pixels, run_id=ledger.run_id, start=shard.start) if len(pixels) else {}
    records = [{"source_key": f"bad{i}", "run_id": ledger.run_id, "stage": "read", "message": "x"} for i in range(lost)]
    counts = Counts(
        rows_in=3, expected=3, rows_out=3 - lost, quarantined=lost, attacked=2 * (3 - lost), success=3 - lost
    )
    data = encode_rows(columns, classes=CLASSES, footer=FOOTER) if columns else None
    quarantine = encode_quarantine(records) if records else None
    content = content_sha256(zip(columns["row_id"], columns["image_sha256"], strict=True)) if columns else ""
    receipt = Receipt(
        run_id=ledger.run_id,
        index=shard.index,
        key=shard.key,
        data=data_file(ledger.run_id, shard, data),
        content_sha256=content,
        quarantine=quarantine_file(ledger.run_id, shard, quarantine),
        counts=counts,
        attempt=1,
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:01Z",
        host="node",
        device="cpu",
    )
    return ledger.commit(receipt.model_copy(update=changes), data, quarantine)


RECIPES = [
    {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "8/255", "steps": 10},
    {"kind": "augment", "ops": [{"name": "hflip"}], "variants": 1},
]


def plan_of(shards: tuple[Shard, ...] = (), *, run_id: str = RUN) -> Plan:
    """A plan of two recipes."""
    return Plan(
        contract=CONTRACT_VERSION,
        run_id=run_id,
        job={"name": "nightly", "recipes": RECIPES, "source": {"format": "parquet", "path": "s3://b/d"}},
        classes=CLASSES,
        image=Image(height=8, width=9, channels=3),
        models={"victim": "1" * 64},
        ranges=(),
        shards=shards,
    )


def manifest_of(
    shards: tuple[Shard, ...],
    receipts: list[Receipt],
    *,
    finished: str = "2026-01-01T01:00:00Z",
    failures: tuple[Failure, ...] = (),
) -> Manifest:
    """The manifest of committed shards."""
    outputs = tuple(receipt.output(shard) for shard, receipt in zip(shards, receipts, strict=True))
    plan = plan_of(shards, run_id=receipts[-1].run_id)
    return Manifest(
        contract=plan.contract,
        status="incomplete" if failures else "complete",
        run_id=plan.run_id,
        job=plan.job,
        classes=CLASSES,
        image=plan.image,
        models=plan.models,
        recipes={"r" * 16: RECIPES[0], "s" * 16: RECIPES[1]},
        schema_sha256=schema_sha256(CLASSES),
        outputs=outputs,
        failures=failures,
        totals=sum((output.counts for output in outputs), Counts()),
        content_sha256="c" * 64,
        started="2026-01-01T00:00:00Z",
        finished=finished,
        environment={"python": "3.11"},
    )


def finished_run(folder: Folder, shards: tuple[Shard, ...], *, run_id: str = RUN, lost: int = 0) -> Manifest:
    """Commits the shards, the first with `lost` rows, and the run."""
    ledger = Ledger(folder, run_id)
    ledger.write_plan(plan_of(shards, run_id=run_id))
    receipts = [commit_shard(ledger, shard, lost=0 if i else lost) for i, shard in enumerate(shards)]
    manifest = manifest_of(shards, receipts)
    ledger.write_manifest(manifest)
    return manifest
