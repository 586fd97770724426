"""A shard without its bad rows: every neighbour keeps its bytes, and the bad rows are accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.make import make_shard, probe_shard, run_shard
from hardset.pipeline.shards.reading import BadRow, part_of, read_rows
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Plan, Shard, SourceRange
from tests.support import job_of, make_here

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Plan, Worker]:
    job = job_of(
        weights,
        tmp_path_factory.mktemp("excluded") / "out",
        sample=True,
        source={"format": "digits", "limit": 90},
        output={"path": str(tmp_path_factory.mktemp("excluded") / "out"), "shard_rows": 90},
    )
    plan = make_plan(job)
    return job, plan, Worker(job, plan, CPU)


def range_of(plan: Plan, shard: Shard) -> SourceRange | None:
    return None if shard.range is None else plan.ranges[shard.range]


def bad_rows(*rows: int) -> list[BadRow]:
    return [BadRow(row=row, error_class="WorkerDied", message="killed by signal 11") for row in rows]


@pytest.mark.parametrize("recipe", range(4), ids=["pgd", "fgsm", "augment", "sample"])
@pytest.mark.parametrize("rows", [(0,), (31, 32, 80)], ids=["first", "several"])
def test_neighbours_keep_their_bytes(made: tuple[Job, Plan, Worker], recipe: int, rows: tuple[int, ...]) -> None:
    _, plan, worker = made
    shard = next(shard for shard in plan.shards if shard.recipe == recipe)
    whole = make_shard(shard, range_of(plan, shard), worker)
    left = make_shard(shard, range_of(plan, shard), worker, bad_rows(*rows))
    lost = {f"{'sample' if recipe == 3 else 'digits'}#{row}" for row in rows}
    keep = [i for i, key in enumerate(whole.columns["source_key"]) if key not in lost]
    for name, values in whole.columns.items():
        again = left.columns[name]
        assert (values is None) == (again is None), name
        if values is not None:
            assert np.array_equal(np.asarray(values, object)[keep], np.asarray(again, object)), name
    assert {reject.key for reject in left.rejects} == lost
    assert left.counts.expected == whole.counts.expected
    assert left.counts.quarantined == len(rows) * whole.facts.variants


def test_a_shard_of_nothing_but_bad_rows_is_all_quarantine(made: tuple[Job, Plan, Worker], tmp_path: Path) -> None:
    _, plan, worker = made
    shard, part = part_of(plan.shards[0], range_of(plan, plan.shards[0]), 3, 5)
    ledger = Ledger(Folder(str(tmp_path)), plan.run_id)
    receipt = run_shard(shard, part, worker, ledger, bad=bad_rows(3, 4))
    assert receipt.data is None
    assert receipt.quarantine is not None
    assert receipt.quarantine.rows == 2
    assert receipt.excluded == (3, 4)


def test_samples_have_no_source_to_read(made: tuple[Job, Plan, Worker]) -> None:
    _, plan, worker = made
    shard = next(shard for shard in plan.shards if shard.range is None)
    rows = read_rows(worker.facts(shard, None), worker.source, bad_rows(2))
    assert "sample#2" not in rows.clean.keys
    assert len(rows.clean) == shard.rows - 1
    assert [(reject.index, reject.key, reject.stage) for reject in rows.rejects] == [(2, "sample#2", "make")]


def test_a_probe_publishes_nothing(made: tuple[Job, Plan, Worker]) -> None:
    job, plan, worker = made
    probe_shard(*part_of(plan.shards[0], range_of(plan, plan.shards[0]), 0, 8), worker)
    assert not Path(job.output.path).exists()


def test_a_dataset_with_excluded_rows_passes_the_audit_and_replays(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(weights, tmp_path / "out", source={"format": "digits", "limit": 20})
    monkeypatch.setattr("tests.support.run_shard", lambda *given: run_shard(*given, bad=bad_rows(7)))
    manifest = make_here(job)
    assert all(output.excluded == (7,) for output in manifest.outputs)
    folder = Folder(job.output.path)
    assert not verify(folder, sample=1, trust=Trust(records=True)).faults
    assert manifest.outputs[0].data is not None
    ids = pq.read_table(tmp_path / "out" / manifest.outputs[0].data.path, columns=["row_id"])["row_id"].to_pylist()
    assert len(ids) == 19
    assert replay(folder, ids[10], trust=Trust(records=True)).equal
