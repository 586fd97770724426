"""Plans and receipts of realistic size, and shards whose rows a benchmark makes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardset.pipeline.dataset.records.ledger import Ledger, data_file
from hardset.schemas.digests import content_sha256, digest
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import DataFile, Image, Output, Plan, Receipt, Shard, SourceRange
from hardset.schemas.records.throughput import StageSeconds

ROWS = 2048
"""Rows per shard: the default of `output.shard_rows`."""
SHARDS_PER_FILE = 40
RUN_ID = "7f3c1b52-6a0e-5d7c-9a61-0c9d1a2b3c4d"


def plan_of(shards: int, members: int = 0) -> Plan:
    """Plan of one attack over Parquet files, or over class folders with `members` image files per shard."""
    ranges = tuple(_range(i, members) for i in range(shards))
    made = tuple(
        Shard(index=i, key=digest(["shard", i]), recipe=0, range=i, split="train", start=part.start, stop=part.stop)
        for i, part in enumerate(ranges)
    )
    classes = tuple(f"class {i}" for i in range(1000))
    image = Image(height=224, width=224, channels=3)
    return Plan(
        contract="1.1", run_id=RUN_ID, job={}, classes=classes, image=image, models={}, ranges=ranges, shards=made
    )


def receipt_of(shard: Shard) -> Receipt:
    """Receipt of an adversarial shard with the usual flags."""
    counts = Counts(
        rows_in=shard.rows,
        expected=shard.rows,
        rows_out=shard.rows,
        attacked=shard.rows - 400,
        success=shard.rows - 500,
        signals={"found_by:apgd": 1200, "found_by:square": 41, "flag:zero_gradient": 3, "several_steps": 1600},
    )
    path = f"data/{RUN_ID[:8]}/train-{shard.index:05d}-{shard.key[:12]}.parquet"
    return Receipt(
        run_id=RUN_ID,
        index=shard.index,
        key=shard.key,
        data=DataFile(path=path, bytes=shard.rows * 90_000, sha256=shard.key, rows=shard.rows),
        content_sha256=shard.key,
        quarantine=None,
        counts=counts,
        attempt=1,
        started="2026-01-01T00:00:00.000+00:00",
        finished="2026-01-01T00:10:00.000+00:00",
        host="worker-gpu-0017.example.internal",
        device="cuda",
        process=123456,
        seconds=StageSeconds(read=12.3456, device=540.1234, encode=30.5678, write=8.9012, waiting=45.6789),
    )


def commit(ledger: Ledger, shard: Shard, data: bytes, columns: Mapping[str, Sequence[str]], counts: Counts) -> Output:
    """Commits the Parquet file `data` of a shard. `columns`: of its rows, `row_id` and `image_sha256` among them."""
    receipt = Receipt(
        run_id=ledger.run_id,
        index=shard.index,
        key=shard.key,
        data=data_file(ledger.run_id, shard, data),
        content_sha256=content_sha256(zip(columns["row_id"], columns["image_sha256"], strict=True)),
        quarantine=None,
        counts=counts,
        attempt=1,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:01+00:00",
        host="benchmark",
        device="cpu",
    )
    return ledger.commit(receipt, data, None).output(shard)


def _range(number: int, members: int) -> SourceRange:
    if members:
        names = tuple(f"n01440764_{number * members + i:08d}.JPEG" for i in range(members))
        start = number % SHARDS_PER_FILE * members
        return SourceRange(
            split="train",
            file=f"train/n{number // SHARDS_PER_FILE:08d}",
            start=start,
            stop=start + members,
            digest=digest(["folder", number]),
            members=names,
            label=number % 1000,
        )
    start = number % SHARDS_PER_FILE * ROWS
    file = f"data/train-{number // SHARDS_PER_FILE:05d}-of-12500.parquet"
    fixed = digest(["file", number // SHARDS_PER_FILE])
    return SourceRange(split="train", file=file, start=start, stop=start + ROWS, digest=fixed)
