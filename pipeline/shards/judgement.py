"""Judgement of made rows as they will be stored: columns, rejects and counts of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, MadeRows, Reject
from hardset.pipeline.dataset.files.png import encode_png, shown
from hardset.pipeline.judging.masking import signals_of
from hardset.pipeline.shards.columns import Columns, JudgedColumns, judged_columns, provenance_columns, select
from hardset.pipeline.shards.device_stage import AnsweredRows
from hardset.pipeline.shards.facts import ShardFacts
from hardset.pipeline.shards.reading import ReadRows
from hardset.pipeline.sources.signs import counted
from hardset.schemas.errors import RunError
from hardset.schemas.records.counts import Counts
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.success import attacked


@dataclass(frozen=True)
class MadeShard:
    """A shard in memory: the columns to store, and what was lost on the way."""

    facts: ShardFacts
    columns: Columns
    rejects: tuple[Reject, ...]
    counts: Counts
    device_batch: int | None = None
    """As in the receipt."""


def judged_shard(facts: ShardFacts, rows: ReadRows, answered: AnsweredRows) -> MadeShard:
    """The shard to store, judged by the pixels that decode from the very bytes of its images.

    Raises RunError where images do not decode to the pixels that the models saw, a row left its budget, or rows are
    missing from the counts; nothing of the shard is stored then.
    """
    made = answered.made
    images, stored = encode_png(made.pixels, facts.png_level), made.pixels
    if not shown(images, stored):  # the models saw these pixels before they were encoded
        raise RunError("an image does not decode to the pixels that were judged; nothing of its shard is stored")
    columns = provenance_columns(facts, rows, made, stored)
    columns["image"] = [
        {"bytes": image, "path": f"{row}.png"} for image, row in zip(images, columns["row_id"], strict=True)
    ]
    judged = judged_columns(facts, rows.clean, made, stored, answered.answers)
    _check_budget(columns["row_id"], judged.over_budget)
    columns |= judged.columns
    keep = judged.finite & columns["success"] if _successes_alone(facts, made) else judged.finite
    rejects = (*rows.rejects, *made.rejects, *_unjudged(rows.clean, made, judged.finite))
    counts = _counts(facts, columns, judged, keep, rejects, rows.clean)
    return MadeShard(facts, select(columns, keep, facts.user), rejects, counts, answered.device_batch)


def _check_budget(row_ids: Sequence[str], over: NDArray[np.bool_]) -> None:
    if over.any():
        row = row_ids[int(np.flatnonzero(over)[0])]
        raise RunError(f"row {row} left its budget on the 8-bit grid; nothing of its shard is stored")


def _successes_alone(facts: ShardFacts, made: MadeRows) -> bool:
    return facts.keep == "success" and facts.kind == ADVERSARIAL and len(made) > 0


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
    facts: ShardFacts,
    columns: Columns,
    judged: JudgedColumns,
    keep: NDArray[np.bool_],
    rejects: Sequence[Reject],
    clean: CleanRows,
) -> Counts:
    """Counts of the shard. `clean`: the rows that went in. Raises RunError where they do not add up."""
    shard, per_row = facts.shard, facts.variants
    success = columns.get("success")
    counts = Counts(
        rows_in=shard.rows,
        expected=shard.rows * per_row,
        rows_out=int(keep.sum()),
        quarantined=sum(per_row if reject.variant is None else 1 for reject in rejects),
        dropped=int((judged.finite & ~keep).sum()),
        held_out=clean.held_out * per_row,
        success=0 if success is None else int((success & keep).sum()),
        signals=counted(clean.signs),
    )
    if counts.expected != counts.rows_out + counts.quarantined + counts.dropped + counts.held_out:
        raise RunError(f"shard {shard.index}: {counts.expected} rows are due, but {counts} do not add up to them")
    if success is None:
        return counts
    number, signals = _attack_counts(columns, judged)
    return counts.model_copy(update={"attacked": number, "signals": signals | counts.signals})


def _attack_counts(columns: Columns, judged: JudgedColumns) -> tuple[int, dict[str, int]]:
    """Number of attacked rows, and counts of the signs that these show."""
    these = attacked(columns["clean_pred"], columns["label"], columns.get("target_label")) & judged.finite
    signals = signals_of(columns, these) | (judged.transfer.signals(these) if judged.transfer else {})
    return int(these.sum()), signals
