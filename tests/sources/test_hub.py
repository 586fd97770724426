"""The Hugging Face Hub: a branch is pinned to a commit for a run, by a stand-in of its API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.revisions import pinned, without_revision
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import DeltaSource
from hardset.schemas.reading.loading import parse_job
from tests.sources.hub import Hub, reached
from tests.sources.making import parquet_bytes, pixels, png

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with reached(monkeypatch) as hub:
        yield hub


def files(seed: int) -> dict[str, bytes]:
    data = parquet_bytes([png(seed + i) for i in range(4)], [0, 1, 0, 1], names=["a", "b"])
    return {"README.md": b"a card", "data/train-00000-of-00001.parquet": data}


def job_of(path: str, out: Path) -> Job:
    document: dict[str, Any] = {
        "name": "hub",
        "source": {"format": "parquet", "path": path},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": str(out)},
    }
    return parse_job(document)


@pytest.mark.parametrize("revision", ["", "@main", "@v1"])
def test_a_run_reads_the_commit_that_was_planned(revision: str, hub: Hub, tmp_path: Path) -> None:
    first = hub.push(files(0), "v1")
    hub.push(files(0))
    job = job_of(f"hf://datasets/org/name{revision}", tmp_path / "out")
    plan = make_plan(job)
    assert (plan.commit, plan.job["source"]["path"]) == (first, f"hf://datasets/org/name{revision}")
    for branch in ("main", "v1"):
        hub.push(files(50), branch)
    worker = Worker(job, plan, torch.device("cpu"))
    rows, _ = worker.source.read(plan.ranges[0], plan.image, 2)
    assert rows.sha256 == tuple(image_sha256(pixels(i)) for i in range(4))
    assert worker.source.name == "hf://datasets/org/name"
    again = make_plan(job)
    assert again.commit != first
    assert {shard.key for shard in again.shards}.isdisjoint(shard.key for shard in plan.shards)


def test_a_commit_that_changes_no_file_of_rows_changes_no_key(hub: Hub, tmp_path: Path) -> None:
    hub.push(files(0))
    job = job_of("hf://datasets/org/name/data", tmp_path / "out")
    before = make_plan(job)
    hub.push({**files(0), "README.md": b"another card"})
    after = make_plan(job)
    assert before.commit != after.commit and before.shards == after.shards


def test_what_the_hub_does_not_have_is_said(hub: Hub, tmp_path: Path) -> None:
    hub.push(files(0))
    with pytest.raises(JobError, match=r"^source\.path: hf://datasets/org/name has no revision 'v9'; name a branch"):
        make_plan(job_of("hf://datasets/org/name@v9", tmp_path / "out"))
    with pytest.raises(JobError, match=r"^source\.path: hf://datasets/org/other: the Hub knows no such repository"):
        make_plan(job_of("hf://datasets/org/other", tmp_path / "out"))


def test_a_delta_table_has_versions_of_its_own_and_no_commit(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    hub.push(files(0))
    job = job_of("hf://datasets/org/name", tmp_path / "out")
    job = job.model_copy(update={"source": DeltaSource(path="hf://datasets/org/name")})
    with pytest.raises(JobError, match=r"^source\.path: hf://datasets/org/name"):
        make_plan(job)


@pytest.mark.parametrize(
    ("url", "bare", "fixed"),
    [
        ("hf://datasets/o/n", "hf://datasets/o/n", "hf://datasets/o/n@c"),
        (
            "hf://datasets/o/n@v1.0/data/*.parquet",
            "hf://datasets/o/n/data/*.parquet",
            "hf://datasets/o/n@c/data/*.parquet",
        ),
        ("hf://datasets/o/n@refs/convert/parquet/x", "hf://datasets/o/n/x", "hf://datasets/o/n@c/x"),
        ("s3://bucket/a@b", "s3://bucket/a@b", "s3://bucket/a@b"),
    ],
)
def test_revisions_are_parted_from_the_place(url: str, bare: str, fixed: str) -> None:
    assert (without_revision(url), pinned(url, "c"), pinned(url, "")) == (bare, fixed, url)
