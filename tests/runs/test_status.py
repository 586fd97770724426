"""What `hardset status` tells of a run from its records alone: at work, abandoned, finished."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hardset.jobs.telling.status import _span
from hardset.pipeline.dataset.records.holders import Holder
from hardset.pipeline.dataset.records.lease import acquire
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.dataset.records.turns import Present
from hardset.pipeline.run.status import ABANDONED, AT_WORK, RunStatus, run_statuses
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Failure
from tests.dataset.examples import RUN, commit_shard, manifest_of, plan_of, shard_of
from tests.support import hardset, last_json

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def out(tmp_path: Any) -> Folder:
    """Four shards of three rows; two are committed under leases 1 and 2, the second at its third attempt in 50 s."""
    folder = Folder(str(tmp_path / "out"))
    shards = [shard_of(i) for i in range(4)]
    Ledger(folder, RUN).write_plan(plan_of(tuple(shards)))
    for lease, shard, age, attempt, lost in ((1, shards[0], 100, 1, 0), (2, shards[1], 20, 3, 1)):
        finished = NOW - timedelta(seconds=age)
        times = {"started": (finished - timedelta(seconds=50)).isoformat(), "finished": finished.isoformat()}
        commit_shard(Ledger(folder, RUN, lease=lease), shard, **times, attempt=attempt, lost=lost)
    return folder


def present(lease: int = 2, **changes: Any) -> Present:
    """A holder whose clock is two hours behind that of the workers."""
    since = (NOW - timedelta(hours=2, seconds=50)).isoformat()
    fields = {"run_id": RUN, "host": "node", "machine": "", "pid": 7, "process_start": "", "token": "secret"}
    return Present(Holder(**fields | {"since": since, "renewed": NOW.timestamp() - 7200} | changes), lease, 3.0)


def seen(folder: Folder, monkeypatch: pytest.MonkeyPatch, who: Present | None) -> RunStatus:
    monkeypatch.setattr("hardset.pipeline.run.status.current_holder", lambda _: who)
    (state,) = run_statuses(folder)
    return state


def test_a_run_at_work_tells_its_holder_pace_and_end(out: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    state = seen(out, monkeypatch, present())
    assert (state.state, state.shards, state.shards_done, state.retries) == (AT_WORK, 4, 2, 2)
    # Only the second shard is this holder's, 50 s of work: 2 of its 3 rows were stored. Two shards of three are left.
    assert state.rows_per_s == pytest.approx(2 / 50)
    assert state.seconds_left == pytest.approx(6 / (3 / 50))
    record = state.record()
    assert record["holder"] == {"host": "node", "pid": 7, "since": present().holder.since, "heard_of_s_ago": 3.0}
    assert "secret" not in str(record)
    assert (record["last"], record["quarantined"]) == ("2026-01-01T11:59:40+00:00", 1)


def test_the_pace_is_that_of_the_last_ten_minutes(out: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    late = {"started": NOW.isoformat(), "finished": (NOW + timedelta(hours=1)).isoformat()}
    commit_shard(Ledger(out, RUN, lease=2), shard_of(2), **late)
    state = seen(out, monkeypatch, present())
    assert state.rows_per_s == pytest.approx(3 / 600)


def test_hosts_whose_clocks_differ_add_up(out: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = {
        "started": (NOW + timedelta(days=3)).isoformat(),
        "finished": (NOW + timedelta(days=3, seconds=30)).isoformat(),
    }
    commit_shard(Ledger(out, RUN, lease=2), shard_of(2), **ahead, host="ahead")
    assert seen(out, monkeypatch, present()).rows_per_s == pytest.approx(2 / 50 + 3 / 30)


@pytest.mark.parametrize("who", [None, present(run_id="f" * 36)])
def test_a_run_whose_driver_died_has_nobody_at_work(
    out: Folder, monkeypatch: pytest.MonkeyPatch, who: Present | None
) -> None:
    state = seen(out, monkeypatch, who)
    assert (state.state, state.holder, state.rows_per_s, state.seconds_left) == (ABANDONED, None, None, None)
    assert state.shards_done == 2


def test_a_holder_without_shards_yet_has_no_pace(out: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    state = seen(out, monkeypatch, present(3))
    assert (state.state, state.rows_per_s, state.seconds_left) == (AT_WORK, None, None)


def test_an_ended_run_tells_its_failures_and_taken_over_shards_count(
    out: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = tuple(shard_of(i) for i in range(4))
    receipts = Ledger(out, RUN).receipts()
    failures = tuple(Failure(index=i, key=shards[i].key, attempts=3, error="boom") for i in (2, 3))
    parts = [receipts[shard.key] for shard in shards[:2]]
    manifest = manifest_of(shards[:2], parts, failures=failures)
    Ledger(out, RUN).write_manifest(manifest)
    state = seen(out, monkeypatch, None)
    assert (state.state, state.shards_done, state.failed_shards) == ("incomplete", 2, 2)
    # Another run finds the two committed shards, and has made one of its own.
    other = "9" + RUN[1:]
    Ledger(out, other).write_plan(plan_of(shards, run_id=other))
    commit_shard(Ledger(out, other), shards[2])
    states = {state.run_id: state for state in run_statuses(out)}
    assert (states[other].state, states[other].shards_done, states[other].shards) == (ABANDONED, 3, 4)


def test_the_command_says_it_in_words_and_for_machines(out: Folder) -> None:
    lease = acquire(out, RUN)
    done = hardset("status", out.url, "--json")
    assert done.returncode == 0, done.stderr
    assert f"process {lease.holder.pid} on {lease.holder.host} since" in done.stdout
    assert last_json(done)["runs"][0]["state"] == "running"
    lease.release()
    done = hardset("status", out.url, "--watch", "--json")
    assert "its driver is gone; start the same job again to go on" in done.stdout
    assert last_json(done)["runs"][0]["state"] == "not finished, nobody at work"


def test_status_without_a_target_says_what_it_wants() -> None:
    done = hardset("status")
    assert done.returncode == 2 and "wants the dataset folder OUT, or --address" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (3.4, "3 s"), (119, "119 s"), (150, "2 min"), (7300, "2.0 h"), (2e5, "2.3 days")]
)
def test_spans_read_well(seconds: float, text: str) -> None:
    assert _span(seconds) == text
