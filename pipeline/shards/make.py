"""One shard from its facts to its receipt: read, make, ask, judge, encode, commit. Knows no Ray."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from hardset.pipeline.dataset.records.ledger import Ledger, data_file, quarantine_file
from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.shards.device_stage import make_and_ask
from hardset.pipeline.shards.encoding import ShardFiles, encode_shard
from hardset.pipeline.shards.judgement import MadeShard, judged_shard
from hardset.pipeline.shards.overlap import Walk
from hardset.pipeline.shards.reading import BadRow, read_rows
from hardset.pipeline.shards.worker import Worker
from hardset.schemas.records.run import Receipt, Shard, SourceRange


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
        files = encode_shard(made)
    with walk.stage("write"):
        receipt = _receipt(made, files, attempt=attempt, started=started, bad=bad)
        return ledger.commit(receipt, files.data, files.quarantine, seconds=walk.seconds)


def probe_shard(shard: Shard, rows: SourceRange | None, worker: Worker) -> None:
    """Does all that `run_shard` does to a shard or a part of one, and publishes nothing."""
    walk = worker.stages.walk()
    made = make_shard(shard, rows, worker, walk=walk)
    with walk.stage("encode"):
        encode_shard(made)


def make_shard(
    shard: Shard, rows: SourceRange | None, worker: Worker, bad: Sequence[BadRow] = (), walk: Walk | None = None
) -> MadeShard:
    """Reads, makes and judges one shard without its bad rows; writes nothing. `walk`: its way through the stages."""
    walk = walk or worker.stages.walk()
    facts, tools = worker.facts(shard, rows), worker.tools(shard.recipe)
    with walk.stage("read"):
        read = read_rows(facts, worker.source, bad, worker.last_range)
    with walk.stage("device"):
        answered = worker.on_device(make_and_ask, tools, read)
    with walk.stage("encode"):
        return judged_shard(facts, read, answered)


def _receipt(made: MadeShard, files: ShardFiles, *, attempt: int, started: str, bad: Sequence[BadRow]) -> Receipt:
    facts = made.facts
    return Receipt(
        run_id=facts.run_id,
        index=facts.shard.index,
        key=facts.shard.key,
        data=data_file(facts.run_id, facts.shard, files.data),
        content_sha256=files.content_sha256,
        quarantine=quarantine_file(facts.run_id, facts.shard, files.quarantine),
        counts=made.counts,
        excluded=tuple(sorted(row.row for row in bad)),
        attempt=attempt,
        started=started,
        finished=now(),
        host=socket.gethostname(),
        device=facts.device,
        process=os.getpid(),
        device_batch=made.device_batch,
    )
