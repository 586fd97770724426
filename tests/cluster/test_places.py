"""Places that a worker sees: relative ones start where the driver's do, and the output is the driver's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardset.pipeline.cluster.actors import ActorSetup, ShardActor
from hardset.pipeline.cluster.messages import Order, Raised, Ready
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.extensions.driver import DriverContext
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Plan, Receipt
from tests.sources.making import parquet_bytes, png, write


def job_of(source: str, out: str) -> Job:
    document = {
        "name": "places",
        "source": {"format": "parquet", "path": source},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": out},
    }
    return parse_job(document)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The driver's folder, with a source `in`; another folder that has other rows under the same name stands beside."""
    for folder, seed in (("driver", 0), ("worker", 50)):
        data = parquet_bytes([png(seed + i) for i in range(4)], [0, 1, 2, 0], names="abc")
        write(tmp_path / folder / "in" / "a.parquet", data)
    monkeypatch.chdir(tmp_path / "driver")
    return tmp_path / "driver"


def planned(job: Job) -> Plan:
    plan = make_plan(job)
    Ledger(Folder(job.output.path), plan.run_id).write_plan(plan)
    return plan


def started(job: Job, plan: Plan, folder: Path | str) -> tuple[ShardActor, Ready | Raised]:
    """A worker of a driver in `folder`, begun in the folder of this process."""
    actor = ShardActor(ActorSetup(job, plan, DriverContext((), str(folder))))
    return actor, actor.prepare()


def test_relative_places_start_where_the_drivers_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of("in", "out")
    plan = planned(job)
    monkeypatch.chdir(here.parent / "worker")
    actor, ready = started(job, plan, here)
    assert (ready, Path(os.getcwd())) == (Ready(), here)  # noqa: PTH109
    receipt = actor.make(Order(plan.shards[0], plan.ranges[0], 1))
    assert isinstance(receipt, Receipt)
    assert len(list((here / "out" / "data").rglob("*.parquet"))) == 1
    assert not (here.parent / "worker" / "out").exists()


@pytest.mark.parametrize("key", ["source.path", "output.path"])
def test_a_machine_without_the_drivers_folder_refuses_relative_places(key: str, here: Path, monkeypatch) -> None:
    out = "out" if key == "output.path" else str(here / "out")
    job = job_of("in" if key == "source.path" else str(here / "in"), out)
    plan = planned(job)
    monkeypatch.chdir(here.parent / "worker")
    _, refused = started(job, plan, here / "nowhere")
    assert isinstance(refused, Raised) and isinstance(refused.error, JobError)
    assert refused.error.exit_code == 2
    assert refused.message.startswith(f"{key}: got '{'in' if key == 'source.path' else 'out'}', which starts from ")
    assert "every node sees" in str(refused.error)
    assert not (here.parent / "worker" / "out").exists()


def test_an_output_that_is_another_folder_on_the_workers_machine_is_refused(here: Path) -> None:
    job = job_of(str(here / "in"), str(here / "out"))
    _, refused = started(job, make_plan(job), here)  # no plan is put down: the driver's output is elsewhere
    assert isinstance(refused, Raised) and isinstance(refused.error, JobError)
    assert refused.message.startswith(f"output.path: {here / 'out'} on ")
    assert not (here / "out").exists()


def test_a_source_that_is_another_on_the_workers_machine_gives_no_rows(here: Path) -> None:
    job = job_of("in", str(here / "out"))
    plan = planned(job)
    actor, ready = started(job, plan, here.parent / "worker")
    assert ready == Ready()
    told = actor.make(Order(plan.shards[0], plan.ranges[0], 1))
    assert isinstance(told, Raised)
    assert "a.parquet has changed since the run was planned" in told.message
    assert not (here / "out" / "data").exists()
