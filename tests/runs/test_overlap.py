"""Several shards at once in one worker: they overlap, stay out of each other's way, and make the same bytes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from hardset.pipeline.batches import MadeRows
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.overlap import Stages, Walk
from hardset.pipeline.shards.worker import Worker
from hardset.schemas.records.run import Receipt
from tests.support import digests, job_of, make_here

PATIENCE = 20.0  # seconds after which a thread that should have come is given up
SMALL = {"format": "digits", "limit": 120}
EOT = {"kind": "attack", "name": "pgd", "eps": "40/255", "steps": 2, "eot": 2}
RANDOM: dict[str, Any] = {
    "source": {"format": "digits", "limit": 24},
    "model": {"factory": "tests.models.factories:always_dropping", "classes": 10},
    "recipes": [EOT, EOT | {"name": "fgsm", "steps": None}],
}


# Bytes.


@pytest.mark.parametrize(
    ("changes", "shard_rows"),
    [
        pytest.param({"source": SMALL, "sample": True}, 40, id="attacks, augmentation and GAN samples"),
        pytest.param(RANDOM, 6, id="a model that answers at random"),
        pytest.param(
            {"source": SMALL, "run": {"batch": 32, "precision": "bfloat16"}}, 40, id="bfloat16, settled at first use"
        ),
    ],
)
def test_bytes_do_not_depend_on_how_many_shards_are_in_hand(
    weights: dict[str, str], tmp_path: Path, changes: dict[str, Any], shard_rows: int
) -> None:
    made = []
    for depth, order in ((1, tuple), (3, lambda shards: shards[::-1])):
        out = tmp_path / f"depth-{depth}"
        job = job_of(weights, out, **changes, output={"path": str(out), "shard_rows": shard_rows})
        make_here(job, depth=depth, order=order)
        made.append(digests(out))
    assert len(made[0]) >= 8
    assert made[0] == made[1]


def test_one_thread_uses_the_device_with_the_bench_s_number_of_threads(weights: dict[str, str], tmp_path: Path) -> None:
    """CUDA graphs belong to a thread, and so does the number of threads in OpenMP and MKL."""
    job = job_of(weights, tmp_path, source=SMALL, output={"path": str(tmp_path), "shard_rows": 40})
    plan, seen = make_plan(job), set()
    worker = Worker(job, plan, torch.device("cpu"), threads=1)
    recipe = worker.recipe(0)

    class Watched:
        kind, op, variants = recipe.kind, recipe.op, recipe.variants

        def make(self, rows: Any, seeds: Any) -> MadeRows:
            seen.add((threading.get_ident(), torch.get_num_threads()))
            return recipe.make(rows, seeds)

    worker._recipes[0] = Watched()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(3) as pool:
            made = [pool.submit(make_shard, plan.shards[0], plan.ranges[0], worker) for _ in range(3)]
        assert all(future.result().counts.rows_out == 40 for future in made)
    finally:
        torch.set_num_threads(1)
    assert [threads for _, threads in seen] == [1]


# Stages.


@pytest.fixture
def stages() -> Iterator[Stages]:
    """Fresh stages; threads that a test leaves behind would show in its timeout."""
    yield Stages()


def test_different_stages_work_at_once_and_each_holds_one_shard(stages: Stages) -> None:
    """Four shards meet at a barrier, each inside another stage; a fifth finds every stage taken."""
    names = ("read", "device", "encode", "write")
    meeting, leaving = threading.Barrier(5), threading.Event()

    def work(name: Any) -> None:
        with stages.walk().stage(name):
            meeting.wait(PATIENCE)
            assert leaving.wait(PATIENCE)

    with ThreadPoolExecutor(5) as pool:
        works = [pool.submit(work, name) for name in names]
        meeting.wait(PATIENCE)
        late = stages.walk()
        entered = threading.Event()

        def follow() -> None:
            with late.stage("device"):
                entered.set()

        follower = pool.submit(follow)
        assert not entered.wait(0.05)
        leaving.set()
        for future in (*works, follower):
            future.result(PATIENCE)
    assert late.seconds().waiting >= 0.05


def test_a_stage_that_failed_is_free_again(stages: Stages) -> None:
    with pytest.raises(ValueError, match="broken"), stages.walk().stage("device"):
        raise ValueError("broken")
    walk = stages.walk()
    with walk.stage("device"):
        pass
    assert walk.seconds().device >= 0


def test_the_clock_tells_stages_apart_and_runs_inside_them(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.5, 2.5, 3.0, 3.0, 4.0, 9.0])
    monkeypatch.setattr("hardset.pipeline.shards.overlap.time.perf_counter", lambda: next(moments))
    walk: Walk = stages.walk()
    with walk.stage("read"):
        pass
    with walk.stage("write"):
        inside = walk.seconds()
    assert (inside.waiting, inside.read, inside.write) == (0.5, 2.0, 1.0)
    assert walk.seconds().write == 6.0


# Receipts.


def test_receipts_say_where_the_time_went_and_older_ones_still_load(small_dataset: Path) -> None:
    path = next(small_dataset.glob("_hardset/runs/*/receipts/*.json"))
    record = json.loads(path.read_text())
    del record["seal"]
    receipt = Receipt.model_validate(record)
    assert receipt.seconds is not None and receipt.process > 0
    assert receipt.seconds.device > 0 and receipt.seconds.write > 0
    older = {key: value for key, value in record.items() if key not in ("seconds", "process", "device_batch")}
    assert Receipt.model_validate(older).seconds is None
