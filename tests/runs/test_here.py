"""`run.actors: 0`: the work is done in this process, without Ray, and comes to the same bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from hardset.pipeline.cluster.actors import ActorSetup
from hardset.pipeline.cluster.here import HereBackend
from hardset.pipeline.cluster.messages import Order, Placed, Ready
from hardset.pipeline.cluster.work_place import at_work
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.generation import generate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Receipt
from tests.support import digests, job_of

HERE = {"actors": 0, "batch": 64}


def test_the_bytes_are_those_of_actors(weights: dict[str, str], small_dataset: Path, tmp_path: Path) -> None:
    job, random = job_of(weights, tmp_path / "out", sample=True, run=HERE), torch.random.get_rng_state()
    torch.set_num_threads(2)
    try:
        outcome = generate(job)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert outcome.status == "complete"
    assert torch.equal(random, torch.random.get_rng_state())
    assert digests(tmp_path / "out") == digests(small_dataset)
    assert len(digests(small_dataset)) > 8


def test_ray_is_not_even_imported(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path / "out", source={"format": "digits", "limit": 20}, run=HERE)
    (tmp_path / "job.json").write_text(job.model_dump_json())
    code = (
        "import sys; from hardset.jobs.app import run; code = run(['generate', 'job.json']); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'ray', 'torch'})); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "['torch']"), done.stderr
    assert len(digests(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"address": "auto"}, "--address: only counts where Ray does the work, and run.actors is 0; raise run.actors"),
        ({"metrics_port": 9000}, "--metrics-port: only counts where Ray"),
    ],
)
def test_what_nothing_would_use_is_refused(
    weights: dict[str, str], tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(JobError, match=sentence):
        generate(job_of(weights, tmp_path, source={"format": "digits", "limit": 20}, run=HERE), **given)
    assert not digests(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_missed(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path, run=HERE | {"gpus_per_actor": 1})
    with pytest.raises(JobError, match=r"run\.gpus_per_actor: this machine has no GPU"):
        generate(job)


def test_a_shard_that_cannot_be_taken_from_its_thread_ends_the_run(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path, source={"format": "digits", "limit": 20}, run=HERE)
    plan, events = make_plan(job), []
    Ledger(Folder(str(tmp_path)), plan.run_id).write_plan(plan)
    backend = HereBackend(ActorSetup(job, plan))
    actor = backend.start()
    while len(events) < 2:
        events += backend.wait(20)
    assert [event.result for event in events] == [Placed(), Ready()]
    order = Order(plan.shards[0], plan.ranges[0], 1)
    ticket = backend.send(actor, order)
    (event,) = backend.wait(20)
    assert (event.ticket, type(event.result)) == (ticket, Receipt)
    backend.send(actor, order)
    assert backend.broken() is None
    backend.kill(actor)  # as the dispatcher does where a deadline is over
    assert "raise run.shard_minutes, or run.actors to 1" in str(backend.broken())
    backend.close()


def test_the_manifest_is_there_before_the_cluster_is_left(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray takes seconds to end, in which a run that is done could still be lost."""
    left = []

    @contextmanager
    def leaving(setup: Any, place: Any) -> Iterator[Any]:
        with at_work(setup, place) as backend:
            yield backend
        left.append(list(tmp_path.glob("_hardset/runs/*/manifest.json")))

    monkeypatch.setattr("hardset.pipeline.run.shard_results.at_work", leaving)
    generate(job_of(weights, tmp_path, source={"format": "digits", "limit": 20}, run=HERE))
    assert [len(manifests) for manifests in left] == [1]
