"""Nights of a small job: a source that changes between them, and whole runs in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run.generation import RunOutcome, generate
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources import digest_cache
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Failure, Plan, Receipt, Shard
from tests.sources.making import parquet_bytes, png, write

CLASSES = ("cat", "dog")
ROWS = 6
"""Rows of a file."""
FLIPS = {"kind": "augment", "ops": [{"name": "hflip"}, {"name": "gaussian_noise", "std": 0.05}], "variants": 1}


class Night:
    """A source of Parquet files, or of images in class folders, and an output beside it."""

    def __init__(self, place: Path, kind: str = "parquet") -> None:
        self.source, self.out, self.kind = place / "in", place / "out", kind

    def put(self, name: str, seed: int) -> None:
        """A file of six rows; or six images of a class, which sort by the name."""
        if self.kind == "parquet":
            images = [png(seed * 100 + row) for row in range(ROWS)]
            labels = [row % 2 for row in range(ROWS)]
            write(self.source / f"{name}.parquet", parquet_bytes(images, labels, group=3, names=CLASSES))
        else:
            for row in range(ROWS):
                write(self.source / CLASSES[row % 2] / f"{name}-{row}.png", png(seed * 100 + row))

    def remove(self, name: str) -> None:
        """The file or images are gone."""
        for path in [*self.source.rglob(f"{name}.parquet"), *self.source.rglob(f"{name}-*.png")]:
            path.unlink()

    def job(self, **changes: Any) -> Job:
        """Shards of three rows; `changed` and `vanished` go into the source."""
        source = {"format": self.kind, "path": str(self.source)}
        source |= {key: changes.pop(key) for key in ("changed", "vanished", "limit") if key in changes}
        document = {"name": "nightly", "source": source, "recipes": [FLIPS]}
        document |= {"output": {"path": str(self.out), "shard_rows": 3}, "run": {"batch": 8}}
        return parse_job(document | changes)

    def run(self, **changes: Any) -> RunOutcome:
        """A night that ends well."""
        outcome = generate(self.job(**changes))
        assert outcome.status in ("complete", "nothing to do")
        return outcome

    def check(self) -> None:
        """The newest run holds what its records say."""
        assert verify(Folder(str(self.out)), sample=None, trust=Trust(records=True)).faults == []


def in_process(
    job: Job, plan: Plan, shards: Sequence[Shard], *, stop: Stop, on_start: Callable[[], None], **_: object
) -> Generator[Receipt | Failure]:
    """Makes shards one after the other: what the actors do, without the seconds that Ray takes to start."""
    worker, ledger = Worker(job, plan, torch.device("cpu")), Ledger(Folder(job.output.path), plan.run_id)
    on_start()
    for shard in shards:
        if stop.is_set():
            return
        yield run_shard(shard, None if shard.range is None else plan.ranges[shard.range], worker, ledger)


@pytest.fixture(autouse=True)
def _nights_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hardset.pipeline.run.generation.results", in_process)
    monkeypatch.setenv(digest_cache.CACHE.name, str(tmp_path / "cache"))


@pytest.fixture(params=["parquet", "imagefolder"])
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Night:
    """Two files, twelve rows."""
    found = Night(tmp_path, request.param)
    found.put("a", 1)
    found.put("b", 2)
    return found


@pytest.fixture
def files(tmp_path: Path) -> Night:
    """Two Parquet files, twelve rows."""
    found = Night(tmp_path)
    found.put("a", 1)
    found.put("b", 2)
    return found
