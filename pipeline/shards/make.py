"""One shard from read to receipt: a plain function that knows no Ray."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, MadeRows, Pixels, Reject
from hardset.pipeline.dataset.files.parquet import check_file, encode_quarantine, encode_rows
from hardset.pipeline.dataset.files.png import decode_pngs, encode_png
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.judging.judge import seeded
from hardset.pipeline.judging.masking import attacked_rows, signals_of
from hardset.pipeline.recipes.table import recipe_text
from hardset.pipeline.shards.answers import Answers, ask
from hardset.pipeline.shards.columns import Columns, judged_columns, provenance_columns, select
from hardset.pipeline.shards.exclusion import BadRow, read_without
from hardset.pipeline.shards.overlap import Walk
from hardset.pipeline.shards.worker import Worker
from hardset.schemas.digests import content_sha256, row_seed
from hardset.schemas.errors import RunError
from hardset.schemas.records.run import Counts, Receipt, Shard, SourceRange
from hardset.schemas.rows.contract import ADVERSARIAL, CONTRACT_VERSION


@dataclass(frozen=True)
class MadeShard:
    """A shard in memory: the columns to store, and what was lost on the way."""

    columns: Columns
    rejects: tuple[Reject, ...]
    counts: Counts
    device_batch: int | None = None
    """As in the receipt."""


@dataclass(frozen=True)
class _Given:
    """What goes into a shard."""

    clean: CleanRows
    unread: tuple[Reject, ...]
    seeds: NDArray[np.int64]
    """Rows x variants, the root of each made row's randomness."""


@dataclass(frozen=True)
class _Asked:
    """What the device made of it."""

    made: MadeRows
    answers: Answers
    device_batch: int | None
    """Rows of the smallest part that a batch was run in; None: all were run whole."""


def run_shard(
    shard: Shard,
    rows: SourceRange | None,
    worker: Worker,
    ledger: Ledger,
    *,
    attempt: int = 1,
    bad: Sequence[BadRow] = (),
) -> Receipt:
    """Reads, makes, judges and commits one shard. Returns its receipt, or that of an attempt that was first.

    `bad`: rows to leave out; they go to quarantine. Threads that share a worker may each run a shard: they take turns
    at each stage, and the bytes do not depend on how many there are.
    """
    started, walk = now(), worker.stages.walk()
    made = make_shard(shard, rows, worker, bad, walk)
    with walk.stage("encode"):
        data, content = _encode(shard, worker, made.columns), _content(made.columns)
        lost = encode_quarantine(quarantine_records(shard, worker, made.rejects)) if made.rejects else None
    with walk.stage("write"):
        return ledger.commit(
            shard,
            data=data,
            rows=made.counts.rows_out,
            quarantine=lost,
            content_sha256=content,
            counts=made.counts,
            attempt=attempt,
            started=started,
            finished=now(),
            host=socket.gethostname(),
            device=str(worker.device),
            excluded=tuple(sorted(row.row for row in bad)),
            process=os.getpid(),
            device_batch=made.device_batch,
            seconds=walk.seconds,
        )


def probe_shard(shard: Shard, rows: SourceRange | None, worker: Worker) -> None:
    """Does all that `run_shard` does to a shard or a part of one, and publishes nothing."""
    walk = worker.stages.walk()
    made = make_shard(shard, rows, worker, walk=walk)
    with walk.stage("encode"):
        _encode(shard, worker, made.columns)


def make_shard(
    shard: Shard, rows: SourceRange | None, worker: Worker, bad: Sequence[BadRow] = (), walk: Walk | None = None
) -> MadeShard:
    """Reads, makes and judges one shard without its bad rows; writes nothing. `walk`: its way through the stages."""
    walk = walk or worker.stages.walk()
    with walk.stage("read"):
        given = _read(shard, rows, worker, bad)
    with walk.stage("device"):
        asked = worker.on_device(_make, shard, worker, given)
    with walk.stage("encode"):
        return _judge(shard, worker, given, asked)


def _read(shard: Shard, rows: SourceRange | None, worker: Worker, bad: Sequence[BadRow]) -> _Given:
    clean, unread = read_without(bad, shard, rows, worker) if bad else worker.read(shard, rows)
    return _Given(clean, tuple(unread), _seeds(shard, worker, clean))


def _seeds(shard: Shard, worker: Worker, clean: CleanRows) -> NDArray[np.int64]:
    this, count = worker.recipe_id(shard.recipe), worker.variants(shard.recipe)
    seeds = [
        [row_seed(run_seed=worker.job.seed, recipe=this, source_key=key, variant=v) for v in range(count)]
        for key in clean.keys
    ]
    return np.asarray(seeds, np.int64).reshape(len(clean), count)


def _make(shard: Shard, worker: Worker, given: _Given) -> _Asked:
    """All that the device does for a shard."""
    recipe = worker.recipe(shard.recipe)
    # What a stochastic model draws in the search belongs to the shard; no worker's past may have a say in it.
    with seeded(worker.device) if worker.job.stochastic else nullcontext():
        made = recipe.make(given.clean, given.seeds)
    answers = ask(worker, recipe.kind, given.clean, made)
    return _Asked(made, answers, worker.divider.smallest_part())


def _judge(shard: Shard, worker: Worker, given: _Given, asked: _Asked) -> MadeShard:
    """Judges the pixels decoded from the very bytes that will be stored."""
    kind, clean, made = worker.recipe(shard.recipe).kind, given.clean, asked.made
    images = encode_png(made.pixels, worker.job.output.png_level)
    stored = _stored(images, made.pixels)
    columns = provenance_columns(shard, worker, clean, made, stored, given.seeds)
    columns["image"] = [
        {"bytes": image, "path": f"{row}.png"} for image, row in zip(images, columns["row_id"], strict=True)
    ]
    judged = judged_columns(kind, clean, made, stored, asked.answers, worker.verify_id)
    if judged.over_budget.any():
        row = columns["row_id"][int(np.flatnonzero(judged.over_budget)[0])]
        raise RunError(f"row {row} left its budget on the 8-bit grid; nothing of its shard is stored")
    columns |= judged.columns
    keep = judged.finite.copy()
    adversarial = kind == ADVERSARIAL and len(made) > 0
    if adversarial and worker.job.output.keep == "success":
        keep &= columns["success"]
    rejects = (*given.unread, *made.rejects, *_unjudged(clean, made, judged.finite))
    counts = _counts(shard, worker.variants(shard.recipe), columns, judged.finite, keep, rejects, clean.held_out)
    if adversarial:
        attacked = attacked_rows(columns) & judged.finite
        signals = signals_of(columns, attacked) | (judged.transfer.signals(attacked) if judged.transfer else {})
        counts = counts.model_copy(update={"attacked": int(attacked.sum()), "signals": signals})
    return MadeShard(select(columns, keep), rejects, counts, asked.device_batch)


def _stored(images: Sequence[bytes], judged: Pixels) -> Pixels:
    """The pixels of the encoded images. The judge saw them before they were encoded: so they must be the same."""
    stored, whole = decode_pngs(images, judged.shape[1:])
    if not whole.all() or not np.array_equal(stored, judged):
        raise RunError("an image does not decode to the pixels that were judged; nothing of its shard is stored")
    return stored


def _unjudged(clean: CleanRows, made: MadeRows, finite: NDArray[np.bool_]) -> list[Reject]:
    return [
        Reject(
            index=int(clean.indices[made.parents[i]]),
            key=clean.keys[made.parents[i]],
            stage="judge",
            error_class="NotFinite",
            message="the model's logits on the stored row are not finite",
            variant=int(made.variants[i]),
        )
        for i in np.flatnonzero(~finite)
    ]


def _counts(
    shard: Shard,
    per_row: int,
    columns: Columns,
    finite: NDArray[np.bool_],
    keep: NDArray[np.bool_],
    rejects: Sequence[Reject],
    held_out: int,
) -> Counts:
    success = columns.get("success")
    counts = Counts(
        rows_in=shard.rows,
        expected=shard.rows * per_row,
        rows_out=int(keep.sum()),
        quarantined=sum(per_row if reject.variant is None else 1 for reject in rejects),
        dropped=int((finite & ~keep).sum()),
        held_out=held_out * per_row,
        success=0 if success is None else int((success & keep).sum()),
    )
    if counts.expected != counts.rows_out + counts.quarantined + counts.dropped + counts.held_out:
        raise RunError(f"shard {shard.index}: {counts.expected} rows are due, but {counts} do not add up to them")
    return counts


def quarantine_records(shard: Shard, worker: Worker, rejects: Sequence[Reject]) -> list[dict[str, Any]]:
    """One record per output row that is missing."""
    return [
        {
            "source_dataset": worker.source.name if shard.range is not None else None,
            "source_split": shard.split,
            "source_index": reject.index,
            "source_key": reject.key,
            "run_id": worker.plan.run_id,
            "recipe_id": worker.recipe_id(shard.recipe),
            "variant": variant,
            "stage": reject.stage,
            "error_class": reject.error_class,
            "message": reject.message,
        }
        for reject in rejects
        for variant in (range(worker.variants(shard.recipe)) if reject.variant is None else [reject.variant])
    ]


def _encode(shard: Shard, worker: Worker, columns: Columns) -> bytes | None:
    rows = len(columns["row_id"])
    if rows == 0:
        return None
    footer = {
        "contract": CONTRACT_VERSION,
        "run_id": worker.plan.run_id,
        "shard_key": shard.key,
        "recipes": {
            worker.recipe_id(shard.recipe): recipe_text(worker.recipes[shard.recipe], shard.recipe, worker.plan.models)
        },
        "models": worker.plan.models,
        "verify_id": worker.verify_id,
    }
    data = encode_rows(columns, classes=worker.plan.classes, footer=footer)
    check_file(data, rows=rows, classes=worker.plan.classes)
    return data


def _content(columns: Columns) -> str:
    return content_sha256(zip(columns["row_id"], columns["image_sha256"], strict=True))
