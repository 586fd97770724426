"""`hardset runs`: every night is listed, from small records alone, whatever became of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardset.jobs.app import VERBS
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.run.budget import Budget
from hardset.pipeline.run.generation import generate
from hardset.pipeline.run.history import nights
from hardset.pipeline.run.status import ABANDONED, AT_WORK
from hardset.pipeline.storage.folder import Folder
from tests.nights.conftest import Night
from tests.support import hardset, last_json


def watch_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that are read from then on; what is not there is not read."""
    found: list[str] = []
    read = Folder.read

    def watched(folder: Folder, path: str) -> bytes:
        content = read(folder, path)
        found.append(path)
        return content

    monkeypatch.setattr(Folder, "read", watched)
    return found


def test_nights_are_listed_with_what_each_made_and_found(files: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    files.run(logical_date="2026-11-24")
    files.put("c", 3)
    files.put("b", 7)
    files.run(logical_date="2026-11-25")
    files.run(logical_date="2026-11-26")
    files.put("d", 4)
    generate(files.job(logical_date="2026-11-27"), budget=Budget(max_rows=3))
    reads = watch_reads(monkeypatch)
    told = last_json(done := hardset("runs", files.out, "--json"))["runs"]
    assert not any(path.endswith("manifest.json") for path in reads)
    assert [run["logical_date"] for run in told] == [f"2026-11-{day}" for day in range(24, 28)]
    assert [run["state"] for run in told] == ["complete", "complete", "complete", ABANDONED]
    assert [run["shards"] for run in told] == [4, 6, 6, 8]
    assert [run["shards_made"] for run in told] == [4, 4, 0, 1]
    assert [run["shards_taken_over"] for run in told] == [0, 2, 6, 6]
    assert [run["rows"] for run in told] == [12, 18, 18, 3]
    assert [run["changes"] and run["changes"]["counts"]["new"] for run in told] == [None, 1, 0, 1]
    assert "+1 new, 1 changed" in done.stdout
    assert "unchanged" in done.stdout
    assert done.stdout.count("\n") < 10
    last = last_json(hardset("runs", files.out, "--last", "1", "--json"))["runs"]
    assert last == told[-1:]


def test_a_run_at_work_is_told_from_one_that_was_left(files: Night) -> None:
    stopped = generate(files.job(), budget=Budget(max_rows=3))
    folder = Folder(str(files.out))
    with hold_lease(folder, stopped.plan.run_id):
        assert [night.state for night in nights(folder)] == [AT_WORK]
    assert [night.state for night in nights(folder)] == [ABANDONED]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    done = hardset("runs", tmp_path)
    assert done.returncode == 2
    assert "no run here" in done.stderr
    assert "runs" in {verb.name for verb in VERBS}
