"""The columns of made rows: where each comes from, and what the judge says of it as stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, MadeRows, Pixels
from hardset.pipeline.judging.judge import distances, finite_rows, succeeded, verdict, within_budget
from hardset.pipeline.judging.transfer import HeldOutVerdicts
from hardset.pipeline.shards.answers import Answers, targets_of
from hardset.pipeline.shards.worker import Worker
from hardset.schemas.digests import image_sha256, row_id
from hardset.schemas.norms import norm_of
from hardset.schemas.records.run import Shard
from hardset.schemas.rows.contract import ADVERSARIAL, COLUMNS, GENERATED
from hardset.schemas.rows.flags import with_flag

Columns = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """The columns that the judge fills, and the rows it could not judge."""

    columns: Columns
    finite: NDArray[np.bool_]
    """False where logits were not finite, so that there is no verdict."""
    over_budget: NDArray[np.bool_]
    """True where a stored row left its ball; such a row is never stored."""
    transfer: HeldOutVerdicts | None = None
    """Verdicts of held-out models on adversarial rows."""


def provenance_columns(
    shard: Shard, worker: Worker, rows: CleanRows, made: MadeRows, stored: Pixels, seeds: NDArray[np.int64]
) -> Columns:
    """Identity, origin and recipe of every made row."""
    recipe, this = worker.recipe(shard.recipe), worker.recipe_id(shard.recipe)
    keys = [rows.keys[parent] for parent in made.parents]
    parents_sha256 = [rows.sha256[parent] for parent in made.parents] if rows.sha256 else [""] * len(made)
    ids = [
        row_id(recipe=this, source_sha256=source, source_key=key, variant=int(variant))
        for source, key, variant in zip(parents_sha256, keys, made.variants, strict=True)
    ]
    from_source = recipe.kind != GENERATED
    count = len(made)
    return {
        **_model_columns(shard, worker, recipe.kind, count),
        **made.columns,
        "label": rows.labels[made.parents],
        "row_id": ids,
        "kind": [recipe.kind] * count,
        "image_sha256": [image_sha256(pixels) for pixels in stored],
        "width": np.full(count, stored.shape[2], np.int32),
        "height": np.full(count, stored.shape[1], np.int32),
        "source_dataset": [worker.source.name] * count if from_source else None,
        "source_split": [shard.split] * count if from_source else None,
        "source_index": rows.indices[made.parents],
        "source_key": keys,
        "source_sha256": parents_sha256 if from_source else None,
        "parent_row_id": [rows.row_ids[parent] for parent in made.parents] if rows.row_ids else None,
        "run_id": [worker.plan.run_id] * count,
        "recipe_id": [this] * count,
        "op": [recipe.op] * count,
        "variant": made.variants,
        "seed": seeds[made.parents, made.variants],
    }


def _model_columns(shard: Shard, worker: Worker, kind: str, count: int) -> Columns:
    if kind == ADVERSARIAL and worker.model is not None:
        name, sha256 = worker.model.model_id, worker.model.sha256
    elif kind == GENERATED:
        sha256 = worker.plan.models[f"generator:{shard.recipe}"]
        name = f"generator:{sha256[:12]}"
    else:
        return {}
    return {"model_id": [name] * count, "model_sha256": [sha256] * count}


def judged_columns(
    kind: str, rows: CleanRows, made: MadeRows, stored: Pixels, answers: Answers, verify_id: str | None
) -> Judged:
    """Verdicts and distances of the stored pixels; adversarial rows are held against their clean rows.

    `answers`: what the models say of these very pixels; `verify_id`: how the judge asked them.
    """
    count = len(made)
    columns: Columns = {}
    finite: NDArray[np.bool_] = np.ones(count, bool)
    over: NDArray[np.bool_] = np.zeros(count, bool)
    if count == 0:
        return Judged(columns, finite, over)
    labels = rows.labels[made.parents]
    if kind == ADVERSARIAL:
        clean = rows.pixels[made.parents]
        levels, l2, l1 = distances(stored, clean)
        columns |= {"linf_levels": levels, "l2": l2, "l1": l1}
        eps = np.asarray(made.columns["eps"], np.float64)
        over = ~within_budget(stored, clean, norm_of(str(made.columns["norm"][0])), eps)
    if answers.made is None:
        return Judged(columns, finite, over)
    finite = finite_rows(answers.made)
    found = verdict(answers.made, labels)
    columns |= {
        "pred": found.pred,
        "margin": found.margin,
        "confidence": found.confidence,
        "verify_id": [verify_id] * count,
    }
    if answers.clean is None or answers.transfer is None:
        return Judged(columns, finite, over)
    before, targets = verdict(answers.clean, rows.labels), targets_of(made)
    clean_pred = before.pred[made.parents]
    columns |= {
        "clean_pred": clean_pred,
        "clean_margin": before.margin[made.parents],
        "success": succeeded(clean_pred, found.pred, labels, targets),
        **answers.transfer.columns(),
    }
    if answers.again is not None:
        moody = verdict(answers.again, labels).pred != found.pred
        columns["flags"] = with_flag(list(map(str, made.columns["flags"])), "stochastic", moody)
    return Judged(columns, finite, over, answers.transfer)


def select(columns: Columns, keep: NDArray[np.bool_]) -> Columns:
    """The rows of `columns` where `keep` is true, in the order of the contract."""
    if keep.all():
        return {column.name: columns.get(column.name) for column in COLUMNS}
    where = np.flatnonzero(keep)
    chosen: Columns = {}
    for column in COLUMNS:
        values: Sequence[Any] | NDArray[np.generic] | None = columns.get(column.name)
        if values is None:
            chosen[column.name] = None
        elif isinstance(values, np.ndarray):
            chosen[column.name] = values[where]
        else:
            chosen[column.name] = [values[int(i)] for i in where]
    return chosen
