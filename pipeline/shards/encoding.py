"""Files of a shard: rows and quarantine, encoded in memory and checked before anything is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hardset.pipeline.batches import Reject
from hardset.pipeline.dataset.files.parquet import check_file, encode_rows
from hardset.pipeline.dataset.files.quarantine import encode_quarantine
from hardset.pipeline.shards.columns import Columns
from hardset.pipeline.shards.facts import ShardFacts
from hardset.pipeline.shards.judgement import MadeShard
from hardset.schemas.digests import content_sha256
from hardset.schemas.rows.contract import CONTRACT_VERSION


@dataclass(frozen=True)
class ShardFiles:
    """Files of a shard, each None where it would be empty."""

    data: bytes | None
    quarantine: bytes | None
    content_sha256: str
    """Digest over row ids and pixels, whatever the encoding of the file."""


def encode_shard(made: MadeShard) -> ShardFiles:
    """The files of a made shard. Raises RunError where the data file does not read back as what it was made from."""
    return ShardFiles(
        data=_data(made.facts, made.columns) if made.counts.rows_out else None,
        quarantine=encode_quarantine(quarantine_records(made.facts, made.rejects)) if made.rejects else None,
        content_sha256=content_sha256(zip(made.columns["row_id"], made.columns["image_sha256"], strict=True)),
    )


def _data(facts: ShardFacts, columns: Columns) -> bytes:
    footer = {
        "contract": CONTRACT_VERSION,
        "run_id": facts.run_id,
        "shard_key": facts.shard.key,
        "recipes": {facts.recipe_id: facts.recipe_text},
        "models": facts.models,
        "verify_id": facts.verify_id,
    }
    data = encode_rows(columns, classes=facts.classes, footer=footer, user=facts.user)
    check_file(data, rows=len(columns["row_id"]), classes=facts.classes, user=facts.user)
    return data


def quarantine_records(facts: ShardFacts, rejects: Sequence[Reject]) -> list[dict[str, Any]]:
    """One record per output row that is missing."""
    return [
        {
            "source_dataset": facts.parent_name,
            "source_split": facts.shard.split,
            "source_index": reject.index,
            "source_key": reject.key,
            "run_id": facts.run_id,
            "recipe_id": facts.recipe_id,
            "variant": variant,
            "stage": reject.stage,
            "error_class": reject.error_class,
            "message": reject.message,
        }
        for reject in rejects
        for variant in (range(facts.variants) if reject.variant is None else [reject.variant])
    ]
