"""Columns of made rows: where each comes from, and what the judge says of it as stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, MadeRows, Pixels
from hardset.pipeline.judging.judge import Verdict, distances, finite_rows, pixels_changed, verdict, within_budget
from hardset.pipeline.judging.transfer import HeldOutVerdicts
from hardset.pipeline.shards.device_stage import Answers, targets_of
from hardset.pipeline.shards.facts import ShardFacts
from hardset.pipeline.shards.reading import ReadRows
from hardset.schemas.digests import image_sha256, row_id
from hardset.schemas.norms import NO_NORM, norm_of
from hardset.schemas.rows.contract import ADVERSARIAL, CONTRACT_VERSION, GENERATED, Column, columns_of
from hardset.schemas.rows.flags import with_flag
from hardset.schemas.rows.success import succeeded

Columns = dict[str, Any]


@dataclass(frozen=True)
class JudgedColumns:
    """Columns that the judge fills for N rows, and the rows that it could not judge."""

    columns: Columns
    finite: NDArray[np.bool_]
    """(N,): False where logits were not finite, so that there is no verdict."""
    over_budget: NDArray[np.bool_]
    """(N,): True where a stored row left its ball; such a row is never stored."""
    transfer: HeldOutVerdicts | None = None
    """Verdicts of held-out models on adversarial rows."""


def provenance_columns(facts: ShardFacts, rows: ReadRows, made: MadeRows, stored: Pixels) -> Columns:
    """Identity, origin and recipe of N made rows. `stored`: their pixels (N, H, W, C) as decoded from the file."""
    clean, count = rows.clean, len(made)
    keys = [clean.keys[parent] for parent in made.parents]
    parents_sha256 = [clean.sha256[parent] for parent in made.parents] if clean.sha256 else [""] * count
    from_source = facts.kind != GENERATED
    return {
        **_model_columns(facts, count),
        **made.columns,
        **{name: [values[parent] for parent in made.parents] for name, values in clean.user.items()},
        "label": clean.labels[made.parents],
        "row_id": [
            row_id(recipe=facts.recipe_id, source_sha256=source, source_key=key, variant=int(variant))
            for source, key, variant in zip(parents_sha256, keys, made.variants, strict=True)
        ],
        "kind": [facts.kind] * count,
        "image_sha256": [image_sha256(pixels) for pixels in stored],
        "width": np.full(count, stored.shape[2], np.int32),
        "height": np.full(count, stored.shape[1], np.int32),
        "source_dataset": [facts.source_name] * count if from_source else None,
        "source_split": [facts.shard.split] * count if from_source else None,
        "source_index": clean.indices[made.parents],
        "source_key": keys,
        "source_sha256": parents_sha256 if from_source else None,
        "parent_row_id": [clean.row_ids[parent] for parent in made.parents] if clean.row_ids else None,
        "run_id": [facts.run_id] * count,
        "recipe_id": [facts.recipe_id] * count,
        "op": [facts.op] * count,
        "variant": made.variants,
        "seed": rows.seeds[made.parents, made.variants],
    }


def _model_columns(facts: ShardFacts, count: int) -> Columns:
    if facts.model_id is None:
        return {}
    return {"model_id": [facts.model_id] * count, "model_sha256": [facts.model_sha256] * count}


def judged_columns(
    facts: ShardFacts, clean: CleanRows, made: MadeRows, stored: Pixels, answers: Answers
) -> JudgedColumns:
    """Verdicts and distances of N stored rows (N, H, W, C); adversarial ones are compared with their clean rows.

    `answers`: logits of these very pixels.
    """
    every: NDArray[np.bool_] = np.ones(len(made), bool)
    if not len(made):
        return JudgedColumns({}, every, ~every)
    columns, over = _distance_columns(clean, made, stored) if facts.kind == ADVERSARIAL else ({}, ~every)
    if answers.made is None:
        return JudgedColumns(columns, every, over)
    found = verdict(answers.made, clean.labels[made.parents])
    columns |= {
        "pred": found.pred,
        "margin": found.margin,
        "confidence": found.confidence,
        "verify_id": [facts.verify_id] * len(made),
    }
    if answers.clean is not None and answers.transfer is not None:
        columns |= _attack_columns(clean, made, found, verdict(answers.clean, clean.labels))
        columns |= answers.transfer.columns()
    if answers.again is not None:
        moody = verdict(answers.again, clean.labels[made.parents]).pred != found.pred
        columns["flags"] = with_flag(list(map(str, made.columns["flags"])), "stochastic", moody)
    return JudgedColumns(columns, finite_rows(answers.made), over, answers.transfer)


def _distance_columns(clean: CleanRows, made: MadeRows, stored: Pixels) -> tuple[Columns, NDArray[np.bool_]]:
    """Distances of stored rows (N, H, W, C) from their clean rows, and a mask (N,) of those out of their budget."""
    before = clean.pixels[made.parents]
    levels, l2, l1 = distances(stored, before)
    found = {"linf_levels": levels, "l2": l2, "l1": l1}
    if made.columns["norm"][0] == NO_NORM:
        return found, np.zeros(len(made), bool)
    eps = np.asarray(made.columns["eps"], np.float64)
    norm = norm_of(str(made.columns["norm"][0]))
    pixels = {"l0_pixels": pixels_changed(stored, before)} if norm == "l0" else {}
    return {**found, **pixels}, ~within_budget(stored, before, norm, eps)


def _attack_columns(clean: CleanRows, made: MadeRows, found: Verdict, before: Verdict) -> Columns:
    """Verdicts on the clean rows (M), given for each made row (N), and whether its attack succeeded."""
    clean_pred = before.pred[made.parents]
    return {
        "clean_pred": clean_pred,
        "clean_margin": before.margin[made.parents],
        "success": succeeded(clean_pred, found.pred, clean.labels[made.parents], targets_of(made)),
    }


def select(columns: Columns, keep: NDArray[np.bool_], user: Sequence[Column] = ()) -> Columns:
    """Columns of the rows where `keep` (N,) is true, in the order of the contract, then those of the `user`."""
    every = columns_of(CONTRACT_VERSION, user)
    if keep.all():
        return {column.name: columns.get(column.name) for column in every}
    where = np.flatnonzero(keep)
    chosen: Columns = {}
    for column in every:
        values: Sequence[Any] | NDArray[np.generic] | None = columns.get(column.name)
        if values is None:
            chosen[column.name] = None
        elif isinstance(values, np.ndarray):
            chosen[column.name] = values[where]
        else:
            chosen[column.name] = [values[int(i)] for i in where]
    return chosen
