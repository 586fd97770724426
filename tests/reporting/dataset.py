"""Datasets for the tests of the report: real digits, attacked in closed form, written as a run writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.dataset.files.parquet import encode_rows
from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.dataset.files.quarantine import encode_quarantine
from hardset.pipeline.dataset.records.ledger import Ledger, data_file, quarantine_file
from hardset.pipeline.planning.plan import public_job
from hardset.pipeline.recipes.table import recipe_text
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import (
    content_sha256,
    digest,
    image_sha256,
    recipe_id,
    row_id,
    row_seed,
    run_id,
    sha256_hex,
)
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure, Image, Manifest, Output, Plan, Receipt, Shard
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, CONTRACT_VERSION, GENERATED, arrow_schema

STRONG = {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "32/255"}
WEAK = {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "0.05"}
TARGETED = {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "0.25", "target": "next"}
SHIFT = {"kind": "augment", "ops": [{"name": "hflip", "p": 1.0}], "variants": 1}
SAMPLE = {"kind": "sample", "generator": {"weights": "gan.safetensors"}, "per_class": 3}
RECIPES = (STRONG, WEAK, TARGETED, SHIFT, SAMPLE)
_MODELS = {"victim": sha256_hex("a linear model"), "generator:4": sha256_hex("a generator")}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """What a dataset shall look like."""

    recipes: tuple[dict[str, Any], ...] = RECIPES
    rows: int = 300
    shard_rows: int = 100
    classes: tuple[str, ...] = tuple("0123456789")
    name: str = "digits-nightly"
    keep: str = "all"
    source: dict[str, Any] = field(default_factory=lambda: {"format": "digits"})
    quarantine: tuple[dict[str, Any], ...] = ()
    """Records that the first shard sends to quarantine beside its rows."""
    failures: tuple[Failure, ...] = ()
    environment: dict[str, str] = field(default_factory=lambda: {"python": "3.11.2", "hardset": "0.1.0"})


@cache
def linear_model() -> tuple[Floats, Floats]:
    """Weights (64 x 10) and biases of a least-squares classifier of the digits on the [0, 1] scale."""
    spec = parse_job(_document(Setting())).source
    reader = open_source(spec)
    images = reader.probe()
    rows = [reader.read(part, images, 10)[0] for part in reader.plan(2000)]
    pixels = np.concatenate([part.pixels for part in rows]).reshape(-1, 64) / 255
    labels = np.concatenate([part.labels for part in rows])
    inputs = np.hstack([pixels, np.ones((len(pixels), 1))])
    solution = np.linalg.solve(inputs.T @ inputs + np.eye(65), inputs.T @ (np.eye(10)[labels] * 10))
    return solution[:64], solution[64]


def logits(pixels: NDArray[np.uint8]) -> Floats:
    """Logits of the linear model, N x 10."""
    weights, biases = linear_model()
    result: Floats = pixels.reshape(len(pixels), 64) / 255 @ weights + biases
    return result


def build(url: str, setting: Setting | None = None) -> Manifest:
    """Writes a dataset and returns its manifest."""
    setting = setting or Setting()
    folder, job = Folder(url), parse_job(_document(setting))
    reader = open_source(job.source)
    ranges = tuple(reader.plan(setting.shard_rows))
    shards = tuple(_shards(job, ranges))
    plan = Plan(
        contract=CONTRACT_VERSION,
        run_id=run_id(digest([shard.key for shard in shards])),
        job=public_job(job),
        classes=setting.classes,
        image=Image(height=8, width=8, channels=1),
        models=_models(job),
        ranges=ranges,
        shards=shards,
    )
    ledger = Ledger(folder, plan.run_id)
    ledger.write_plan(plan)
    outputs = []
    for shard in shards:
        if shard.range is None:
            rows = _samples(shard, len(setting.classes))
        else:
            rows, _ = reader.read(ranges[shard.range], plan.image, 10)
        records = setting.quarantine if shard.index == 0 else ()
        outputs.append(_commit(ledger, job, plan, shard, rows, records))
    manifest = _manifest(plan, job, outputs, setting)
    ledger.write_manifest(manifest)
    return manifest


def _document(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "seed": 7,
        "source": {**setting.source, "limit": setting.rows},
        "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10},
        "recipes": list(setting.recipes),
        "output": {"path": "out", "keep": setting.keep, "shard_rows": setting.shard_rows},
    }


def _models(job: Job) -> dict[str, str]:
    generators = {f"generator:{i}" for i, recipe in enumerate(job.recipes) if recipe.kind == "sample"}
    return {"victim": _MODELS["victim"], **{name: sha256_hex(name) for name in generators}}


def _shards(job: Job, ranges: tuple[Any, ...]) -> list[Shard]:
    places: list[tuple[int, int | None, int, int]] = []
    for position, recipe in enumerate(job.recipes):
        if recipe.kind == "sample":
            places.append((position, None, 0, recipe.per_class * 10))
        else:
            places += [(position, number, part.start, part.stop) for number, part in enumerate(ranges)]
    return [
        Shard(index=i, key=digest([*place, job.name]), recipe=place[0], range=place[1], split="train", start=a, stop=b)
        for i, (*place, a, b) in enumerate(places)
    ]


def _samples(shard: Shard, classes: int) -> CleanRows:
    numbers = np.arange(shard.start, shard.stop)
    reader = open_source(parse_job(_document(Setting())).source)
    (part, *_) = reader.plan(2000)
    digits, _ = reader.read(part, reader.probe(), 10)
    first = [int(np.flatnonzero(digits.labels == n % 10)[n // 10]) for n in numbers]
    keys = tuple(f"sample#{n}" for n in numbers)
    return CleanRows(digits.pixels[first], numbers % classes, keys, numbers)


def _made(recipe: Any, rows: CleanRows) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, float]:
    """Stored pixels, targets and eps."""
    if recipe.kind == "augment":
        return rows.pixels[:, :, ::-1].copy(), None, 0.0
    if recipe.kind == "sample":
        return rows.pixels, None, 0.0
    weights, _ = linear_model()
    eps = float(recipe.eps) if isinstance(recipe.eps, Fraction) else float(recipe.eps.max)
    targets = (rows.labels + 1) % 10 if recipe.target else None
    others = logits(rows.pixels)
    others[np.arange(len(rows)), rows.labels] = -np.inf
    aims = targets if targets is not None else others.argmax(1)
    direction = np.sign(weights.T[aims] - weights.T[rows.labels]).reshape(rows.pixels.shape)
    moved = rows.pixels.astype(np.int64) + (direction * int(eps * 255 + 1e-6)).astype(np.int64)
    return np.clip(moved, 0, 255).astype(np.uint8), targets, eps


def _margin(values: Floats, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    own = values[np.arange(len(values)), labels]
    rest = values.copy()
    rest[np.arange(len(values)), labels] = -np.inf
    return (own - rest.max(1)).astype(np.float32)


def columns_of(job: Job, plan: Plan, shard: Shard, rows: CleanRows) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Columns of a shard's rows, and which of them count as attacked."""
    recipe = job.recipes[shard.recipe]
    this = recipe_id(recipe_text(recipe, shard.recipe, plan.models))
    made, targets, eps = _made(recipe, rows)
    count = len(rows)
    shas = rows.sha256 or ("",) * count
    ids = [row_id(recipe=this, source_sha256=s, source_key=k, variant=0) for k, s in zip(rows.keys, shas, strict=True)]
    kind = {"attack": ADVERSARIAL, "augment": AUGMENTED, "sample": GENERATED}[recipe.kind]
    after, pngs = logits(made), encode_png(made)
    share = np.exp(after - after.max(1, keepdims=True))
    columns: dict[str, Any] = {
        "image": [{"bytes": png, "path": f"{name}.png"} for png, name in zip(pngs, ids, strict=True)],
        "label": rows.labels.astype(np.int64),
        "row_id": ids,
        "kind": [kind] * count,
        "image_sha256": [image_sha256(pixels) for pixels in made],
        "width": np.full(count, 8, np.int32),
        "height": np.full(count, 8, np.int32),
        "source_index": rows.indices.astype(np.int64),
        "source_key": list(rows.keys),
        "run_id": [plan.run_id] * count,
        "recipe_id": [this] * count,
        "op": [{"attack": "fgsm_linf", "augment": "augment", "sample": "gan"}[recipe.kind]] * count,
        "variant": np.zeros(count, np.int32),
        "seed": np.array([row_seed(run_seed=7, recipe=this, source_key=k, variant=0) for k in rows.keys], np.int64),
        "params": ["{}"] * count,
        "model_id": ["linear"] * count,
        "model_sha256": [plan.models["victim"]] * count,
        "pred": after.argmax(1).astype(np.int64),
        "margin": _margin(after, rows.labels),
        "confidence": (share.max(1) / share.sum(1)).astype(np.float32),
        "verify_id": ["fp64-numpy"] * count,
    }
    if kind != GENERATED:
        columns |= {"source_dataset": ["digits"] * count, "source_split": ["train"] * count}
        columns["source_sha256"] = list(shas)
    attacked = np.zeros(count, bool)
    if kind == ADVERSARIAL:
        before = logits(rows.pixels)
        change = made.reshape(count, -1).astype(np.int64) - rows.pixels.reshape(count, -1)
        clean_pred, pred = before.argmax(1).astype(np.int64), columns["pred"]
        attacked = np.ones(count, bool) if targets is not None else clean_pred == rows.labels
        fallen = pred == targets if targets is not None else (clean_pred == rows.labels) & (pred != rows.labels)
        columns |= {
            "norm": ["Linf"] * count,
            "eps": np.full(count, eps),
            "target_label": targets,
            "steps": np.ones(count, np.int32),
            "clean_pred": clean_pred,
            "float_pred": pred,
            "clean_margin": _margin(before, rows.labels),
            "float_margin": columns["margin"],
            "success": fallen,
            "linf_levels": np.abs(change).max(1).astype(np.int32),
            "l1": (np.abs(change).sum(1) / 255).astype(np.float32),
            "queries": np.zeros(count, np.int32),
            "found_by": [recipe.name] * count,
            "flags": [""] * count,
            "l2": np.sqrt(((change / 255) ** 2).sum(1)).astype(np.float32),
        }
    return columns, attacked


def _commit(
    ledger: Ledger, job: Job, plan: Plan, shard: Shard, rows: CleanRows, records: tuple[dict[str, Any], ...]
) -> Output:
    columns, attacked = columns_of(job, plan, shard, rows)
    keep = np.ones(len(rows), bool)
    if job.output.keep == "success" and "success" in columns:
        keep = columns["success"]
    kept = {
        name: None if values is None else [values[i] for i in np.flatnonzero(keep)] for name, values in columns.items()
    }
    stored = int(keep.sum())
    counts = Counts(
        rows_in=len(rows) + len(records),
        expected=len(rows) + len(records),
        rows_out=stored,
        quarantined=len(records),
        dropped=len(rows) - stored,
        attacked=int(attacked.sum()),
        success=int((columns["success"] & keep).sum()) if "success" in columns else 0,
    )
    footer = {"run_id": plan.run_id}
    content = content_sha256(zip(kept["row_id"], kept["image_sha256"], strict=True))
    data = encode_rows(kept, classes=plan.classes, footer=footer) if stored else None
    quarantine = encode_quarantine(list(records)) if records else None
    receipt = Receipt(
        run_id=plan.run_id,
        index=shard.index,
        key=shard.key,
        data=data_file(plan.run_id, shard, data),
        content_sha256=content,
        quarantine=quarantine_file(plan.run_id, shard, quarantine),
        counts=counts,
        attempt=1,
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:04:06+00:00",
        host="host",
        device="cpu",
    )
    return ledger.commit(receipt, data, quarantine).output(shard)


def _manifest(plan: Plan, job: Job, outputs: list[Output], setting: Setting) -> Manifest:
    texts = [recipe_text(recipe, position, plan.models) for position, recipe in enumerate(job.recipes)]
    return Manifest(
        contract=plan.contract,
        status="incomplete" if setting.failures else "complete",
        run_id=plan.run_id,
        job=plan.job,
        classes=plan.classes,
        image=plan.image,
        models=plan.models,
        recipes={recipe_id(text): text for text in texts},
        schema_sha256=sha256_hex(arrow_schema(plan.classes).serialize().to_pybytes()),
        outputs=tuple(outputs),
        failures=setting.failures,
        totals=sum((output.counts for output in outputs), Counts()),
        content_sha256=digest([output.content_sha256 for output in outputs]),
        started="2026-01-02T03:04:05.000+00:00",
        finished="2026-01-02T03:06:20.500+00:00",
        environment=setting.environment,
    )
