"""One shard from read to receipt: a plain function that knows no Ray."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bench import Bench
from pipeline.columns import Columns, judged_columns, provenance_columns, select
from pipeline.exclusion import BadRow, read_without
from pipeline.judge import seeded
from pipeline.recipes import recipe_text
from pipeline.rows import CleanRows, MadeRows, Reject
from pipeline.signals import attacked_rows, signals_of
from pipeline.sinks.ledger import Ledger
from pipeline.sinks.parquet import check_file, encode_quarantine, encode_rows
from pipeline.sinks.png import decode_png, encode_png
from schemas.digests import content_sha256, row_seed
from schemas.errors import RunError
from schemas.records import Counts, Receipt, Shard, SourceRange
from schemas.rows import ADVERSARIAL, CONTRACT_VERSION


@dataclass(frozen=True)
class MadeShard:
    """A shard in memory: the columns to store, and what was lost on the way."""

    columns: Columns
    rejects: tuple[Reject, ...]
    counts: Counts


def run_shard(
    shard: Shard,
    rows: SourceRange | None,
    bench: Bench,
    ledger: Ledger,
    *,
    attempt: int = 1,
    bad: Sequence[BadRow] = (),
) -> Receipt:
    """Reads, makes, judges and commits one shard. Returns its receipt, or that of an attempt that was first.

    `bad`: rows to leave out; they go to quarantine.
    """
    started = _now()
    made = make_shard(shard, rows, bench, bad)
    data = _encode(shard, bench, made.columns)
    lost = encode_quarantine(quarantine_records(shard, bench, made.rejects)) if made.rejects else None
    return ledger.commit(
        shard,
        data=data,
        rows=made.counts.rows_out,
        quarantine=lost,
        content_sha256=_content(made.columns),
        counts=made.counts,
        attempt=attempt,
        started=started,
        finished=_now(),
        host=socket.gethostname(),
        device=str(bench.device),
        excluded=tuple(sorted(row.row for row in bad)),
    )


def probe_shard(shard: Shard, rows: SourceRange | None, bench: Bench) -> None:
    """Does all that `run_shard` does to a shard or a part of one, and publishes nothing."""
    _encode(shard, bench, make_shard(shard, rows, bench).columns)


def make_shard(shard: Shard, rows: SourceRange | None, bench: Bench, bad: Sequence[BadRow] = ()) -> MadeShard:
    """Reads, makes and judges one shard without its bad rows; writes nothing."""
    clean, unread = read_without(bad, shard, rows, bench) if bad else bench.read(shard, rows)
    seeds = _seeds(shard, bench, clean)
    # What a stochastic model draws in the search belongs to the shard; no worker's past may have a say in it.
    with seeded(bench.device) if bench.job.stochastic else nullcontext():
        made = bench.recipe(shard.recipe).make(clean, seeds)
    return _judge(shard, bench, clean, made, seeds, unread)


def _seeds(shard: Shard, bench: Bench, clean: CleanRows) -> NDArray[np.int64]:
    this, count = bench.recipe_id(shard.recipe), bench.variants(shard.recipe)
    seeds = [
        [row_seed(run_seed=bench.job.seed, recipe=this, source_key=key, variant=v) for v in range(count)]
        for key in clean.keys
    ]
    return np.asarray(seeds, np.int64).reshape(len(clean), count)


def _judge(
    shard: Shard, bench: Bench, clean: CleanRows, made: MadeRows, seeds: NDArray[np.int64], unread: Sequence[Reject]
) -> MadeShard:
    """Judges the pixels decoded from the very bytes that will be stored."""
    kind = bench.recipe(shard.recipe).kind
    images = encode_png(made.pixels, bench.job.output.png_level)
    stored = np.stack([decode_png(image) for image in images]) if images else made.pixels
    columns = provenance_columns(shard, bench, clean, made, stored, seeds)
    columns["image"] = [
        {"bytes": image, "path": f"{row}.png"} for image, row in zip(images, columns["row_id"], strict=True)
    ]
    judged = judged_columns(bench, kind, clean, made, stored)
    if judged.over_budget.any():
        row = columns["row_id"][int(np.flatnonzero(judged.over_budget)[0])]
        raise RunError(f"row {row} left its budget on the 8-bit grid; nothing of its shard is stored")
    columns |= judged.columns
    keep = judged.finite.copy()
    adversarial = kind == ADVERSARIAL and len(made) > 0
    if adversarial and bench.job.output.keep == "success":
        keep &= columns["success"]
    rejects = (*unread, *made.rejects, *_unjudged(clean, made, judged.finite))
    counts = _counts(shard, bench.variants(shard.recipe), columns, judged.finite, keep, rejects, clean.held_out)
    if adversarial:
        attacked = attacked_rows(columns) & judged.finite
        signals = signals_of(columns, attacked) | (judged.transfer.signals(attacked) if judged.transfer else {})
        counts = counts.model_copy(update={"attacked": int(attacked.sum()), "signals": signals})
    return MadeShard(select(columns, keep), rejects, counts)


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


def quarantine_records(shard: Shard, bench: Bench, rejects: Sequence[Reject]) -> list[dict[str, Any]]:
    """One record per output row that is missing."""
    return [
        {
            "source_dataset": bench.source.name if shard.range is not None else None,
            "source_split": shard.split,
            "source_index": reject.index,
            "source_key": reject.key,
            "run_id": bench.plan.run_id,
            "recipe_id": bench.recipe_id(shard.recipe),
            "variant": variant,
            "stage": reject.stage,
            "error_class": reject.error_class,
            "message": reject.message,
        }
        for reject in rejects
        for variant in (range(bench.variants(shard.recipe)) if reject.variant is None else [reject.variant])
    ]


def _encode(shard: Shard, bench: Bench, columns: Columns) -> bytes | None:
    rows = len(columns["row_id"])
    if rows == 0:
        return None
    footer = {
        "contract": CONTRACT_VERSION,
        "run_id": bench.plan.run_id,
        "shard_key": shard.key,
        "recipes": {
            bench.recipe_id(shard.recipe): recipe_text(bench.job.recipes[shard.recipe], shard.recipe, bench.plan.models)
        },
        "models": bench.plan.models,
        "verify_id": bench.judge.verify_id if bench.judge else None,
        "content_sha256": _content(columns),
    }
    data = encode_rows(columns, classes=bench.plan.classes, footer=footer)
    check_file(data, rows=rows, classes=bench.plan.classes)
    return data


def _content(columns: Columns) -> str:
    return content_sha256(zip(columns["row_id"], columns["image_sha256"], strict=True))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
