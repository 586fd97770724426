"""Sources of a user's own: by import path, through a plan and its records, with keys that follow their code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hardset.pipeline.audit.trust import moved
from hardset.pipeline.planning.changes import change_warnings, check_changes
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.table import SOURCES, open_source
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import NpzSource
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Changes
from tests.sources.test_conformance import EXAMPLES
from tests.support import make_here

LINES = "source:LINES"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 rows of 8 x 8 grey levels in two files; one line holds none."""
    rng = np.random.default_rng(3)
    for name in ("train-0", "train-1"):
        lines = [",".join(map(str, [i % 3, *rng.integers(0, 256, 64)])) for i in range(12)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (tmp_path / "train-1.csv").open("a", encoding="utf-8") as file:
        file.write("1,2,3\n")
    return tmp_path


def job_of(folder: Path, out: Path | None = None, **source: Any) -> Job:
    return parse_job(
        {
            "name": "own",
            "source": {"format": LINES, "path": str(folder), "height": 8, "width": 8, **source},
            "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": str(out or f"{folder}-out"), "shard_rows": 5},
        }
    )


def test_a_run_makes_its_rows_and_quarantines_what_cannot_be_read(folder: Path) -> None:
    manifest = make_here(job_of(folder))
    assert (manifest.totals.rows_out, manifest.totals.quarantined) == (24, 1)
    assert make_plan(job_of(folder)).run_id == manifest.run_id


def test_a_changed_line_makes_the_shards_of_its_file_anew(folder: Path) -> None:
    before = {shard.key for shard in make_plan(job_of(folder)).shards}
    file = folder / "train-0.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("0,", "1,", 1), encoding="utf-8")
    after = {shard.key for shard in make_plan(job_of(folder)).shards}
    assert len(before) == len(after) == 6 and len(before & after) == 3


def test_code_versions_are_in_the_keys_of_its_shards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_plan(job_of(folder))
    monkeypatch.setattr(sys.modules["source"].Lines, "code", 2)
    assert {shard.key for shard in make_plan(job_of(folder)).shards}.isdisjoint(shard.key for shard in before.shards)


def test_a_worker_whose_code_is_not_that_of_the_plan_reads_nothing(folder: Path, monkeypatch) -> None:
    job = job_of(folder)
    plan = make_plan(job)
    assert Worker(job, plan, torch.device("cpu")).source.plan(5) == list(plan.ranges)
    monkeypatch.setattr(sys.modules["source"].Lines, "code", 2)
    with pytest.raises(RunError, match=r"^source: its code here is not that of the machine that planned the run"):
        _ = Worker(job, plan, torch.device("cpu")).source


def test_a_new_version_of_a_built_in_source_makes_its_shards_anew(tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "train.npz", images=np.zeros((4, 3, 3), np.uint8), labels=np.zeros(4, np.int64))
    job = job_of(tmp_path)
    job = job.model_copy(update={"source": NpzSource(path=str(tmp_path / "train.npz"))})
    before = make_plan(job)
    assert [shard.key for shard in make_plan(job).shards] == [shard.key for shard in before.shards]
    monkeypatch.setattr(NpzSource, "code", 2)
    assert [shard.key for shard in make_plan(job).shards] != [shard.key for shard in before.shards]


def test_records_hold_what_was_given_and_are_read_without_its_code(folder: Path) -> None:
    job = job_of(folder)
    sys.modules.pop("source", None)
    written = job.model_dump(mode="json")
    assert written["source"] == {"format": LINES, "path": str(folder), "height": 8, "width": 8}
    assert Job.model_validate(written) == job
    assert "source" not in sys.modules


def test_what_is_gone_follows_its_policy(folder: Path) -> None:
    changes = Changes(since="r", vanished=("train-9.csv",), counts={"new": 0, "changed": 0, "vanished": 1})
    with pytest.raises(JobError, match=r"source.vanished: 1 file vanished since run r"):
        check_changes(job_of(folder, vanished="fail").source, changes)
    assert "listed no more" in change_warnings(job_of(folder).source, changes)[0]


def test_it_can_be_read_at_another_place(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for file in folder.glob("*.csv"):
        (other / file.name).write_bytes(file.read_bytes())
    here, there = open_source(job_of(folder).source), open_source(moved(job_of(folder).source, str(other)))
    assert here.plan(5) == there.plan(5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "source:LINE"}, r"source\.format: source has no LINE; did you mean LINES\?"),
        ({"format": "source:LineReader"}, r"source\.format: source:LineReader is a ABCMeta; wants a .*base\.Source"),
        ({"height": 0}, r"source\.height: got 0; wants a whole number of 1 or more"),
        ({"hieght": 8}, r"source\.hieght: unknown key; did you mean height\?"),
        ({"width": 9}, r"source: none of the first rows can be read; train-0\.csv#0: .* cannot reshape"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_plan(folder: Path, source: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        make_plan(job_of(folder, **source))


def test_a_name_that_is_none_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(JobError, match=rf"source\.format: got 'npzz'; wants {'.*'.join(SOURCES)}, or the import path"):
        job_of(folder, format="npzz")
