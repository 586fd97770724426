"""Budgets: a start stops cleanly before it overruns, says what is left, and the next one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run.budget import Budget, Limit
from hardset.pipeline.run.generation import generate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Receipt
from tests.nights.conftest import Night
from tests.support import hardset, last_json


def test_rows_are_never_overrun_and_the_next_start_goes_on(files: Night) -> None:
    """Four shards of three rows; seven rows are two shards."""
    first = generate(files.job(), budget=Budget(max_rows=7))
    assert (first.status, first.shards_made, first.made.rows_out) == ("stopped", 2, 6)
    assert first.stopped_by == "max_rows"
    assert first.left is not None
    assert (first.left.shards, first.left.rows) == (2, 6)
    assert first.left.minutes is not None
    assert Ledger(Folder(str(files.out)), first.plan.run_id).manifest() is None
    second = generate(files.job(), budget=Budget(max_rows=6))
    assert (second.status, second.shards_made) == ("complete", 2)
    files.check()


def test_a_budget_that_covers_no_shard_is_refused_before_anything_is_written(files: Night) -> None:
    with pytest.raises(JobError, match=r"--max-rows: got 2, and the next shard makes 3 rows; wants at least as many"):
        generate(files.job(), budget=Budget(max_rows=2))
    assert not files.out.exists()


def test_machines_are_told_what_is_left(files: Night, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(files.job().model_dump(mode="json")))
    done = hardset("generate", file, "--max-rows", "9", "--json")
    assert done.returncode == 4
    told = last_json(done)
    assert (told["status"], told["stopped_by"], told["exit_code"]) == ("stopped", "max_rows", 4)
    assert (told["left"]["shards"], told["left"]["rows"]) == (1, 3)
    assert "Stopped by --max-rows: 3 shards, 9 rows made; 1 shard with 3 rows are left, about" in done.stdout
    done = hardset("generate", file, "--json")
    assert (done.returncode, last_json(done)["left"], last_json(done)["stopped_by"]) == (0, None, None)


class Clock:
    """The time as a test sets it, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("hardset.pipeline.run.budget.time.monotonic", lambda: self.now)


def receipt(seconds: int) -> Receipt:
    settings: dict[str, Any] = {"run_id": "r", "index": 0, "key": "k", "data": None, "content_sha256": ""}
    settings |= {"quarantine": None, "counts": Counts(), "attempt": 1, "host": "h", "device": "cpu"}
    return Receipt(started="2026-01-01T00:00:00+00:00", finished=f"2026-01-01T00:00:{seconds:02d}+00:00", **settings)


def test_no_shard_begins_that_would_end_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limit = Limit(Budget(max_minutes=1), Stop())
    assert not limit.is_set()
    limit.note(receipt(20))
    clock.now += 39
    assert not limit.is_set()
    clock.now += 2
    assert limit.is_set()
    assert limit.reason == "max_minutes"
    assert not limit.expired(), "the shards in hand still have a chance"
    clock.now += 20
    assert limit.expired()


def test_the_first_shards_are_finished_however_long_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a budget smaller than a shard would make nothing, night after night."""
    clock = Clock(monkeypatch)
    limit = Limit(Budget(max_minutes=1), Stop())
    clock.now += 100
    assert limit.is_set()
    assert not limit.expired()


def test_a_signal_counts_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop()
    limit = Limit(Budget(), stop)
    assert not limit.is_set()
    stop.ask(0)
    assert limit.is_set()
    assert limit.expired()
    assert limit.reason == "signal"


def test_minutes_stop_a_run(files: Night) -> None:
    outcome = generate(files.job(), budget=Budget(max_minutes=1e-9))
    assert (outcome.status, outcome.stopped_by, outcome.shards_made) == ("stopped", "max_minutes", 0)
    assert outcome.left is not None
    assert (outcome.left.shards, outcome.left.minutes) == (4, None)
    assert files.run().shards_made == 4
