"""Nights that never finished and never will, and nights that are made late."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardset.pipeline.audit.gc import collect
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.dataset.records.ledger import latest_manifest, run_ids
from hardset.pipeline.run.budget import Budget
from hardset.pipeline.run.generation import generate
from hardset.pipeline.run.history import nights
from hardset.pipeline.run.status import ABANDONED, SUPERSEDED, run_statuses
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from tests.nights.conftest import Night
from tests.support import hardset, last_json


def killed(files: Night, rows: int = 6, **changes: object) -> str:
    """A night that was cut off once it had made so many rows; its run id."""
    outcome = generate(files.job(**changes), budget=Budget(max_rows=rows))
    assert outcome.status == "stopped"
    return outcome.plan.run_id


def told(files: Night) -> dict[str, tuple[str, int, int]]:
    """State, shards made and planned by run id, which `status` and `runs` agree on."""
    folder = Folder(str(files.out))
    by_status = {run.run_id: (run.state, run.shards_done, run.shards) for run in run_statuses(folder)}
    by_runs = {
        night.run_id: (night.state, night.made + (night.taken_over or 0), night.shards) for night in nights(folder)
    }
    assert by_status == by_runs
    return by_runs


@pytest.mark.parametrize("dates", [(None, None), ("2026-11-25", "2026-11-25"), ("2026-11-25", "2026-11-26")])
@pytest.mark.parametrize("change", ["grown", "changed"])
def test_a_killed_night_whose_source_has_changed_is_superseded(
    files: Night, change: str, dates: tuple[str, str]
) -> None:
    """Before and after the next night; gc removes what that does not list."""
    first = killed(files, logical_date=dates[0])
    assert told(files) == {first: (ABANDONED, 2, 4)}
    files.put("c" if change == "grown" else "a", 9)
    done = files.run(logical_date=dates[1])
    assert told(files)[first] == (SUPERSEDED, 2, 4)
    assert all(
        f"run {done.plan.run_id[:8]} superseded it" in hardset(verb, files.out).stdout for verb in ("status", "runs")
    )
    swept = collect(Folder(str(files.out)))
    assert first in swept.given_up
    assert set(told(files)) == {done.plan.run_id}
    assert (first in run_ids(Folder(str(files.out)))) == (change == "grown"), "its shards are listed by the next night"
    assert collect(Folder(str(files.out))).orphans == ()
    files.check()


def test_a_killed_night_whose_source_is_as_it_was_goes_on(files: Night) -> None:
    """Another night came between, over the same files."""
    first = killed(files, logical_date="2026-11-25")
    files.run(logical_date="2026-11-26")
    assert told(files)[first] == (ABANDONED, 4, 4)
    assert collect(Folder(str(files.out))).given_up == ()
    assert "with --logical-date 2026-11-25 to go on" in hardset("status", files.out).stdout
    assert files.run(logical_date="2026-11-25").plan.run_id == first


def test_of_two_killed_nights_the_later_one_goes_on(files: Night) -> None:
    first = killed(files, rows=3)
    files.put("c", 3)
    second = killed(files, rows=3)
    assert told(files) == {first: (SUPERSEDED, 1, 4), second: (ABANDONED, 2, 6)}
    files.remove("c")
    assert killed(files, rows=3) == first
    assert {run: state for run, (state, *_) in told(files).items()} == {first: ABANDONED, second: SUPERSEDED}


def test_a_late_retry_of_an_old_date_is_not_the_newest(files: Night, tmp_path: Path) -> None:
    """Readers get the newest date, the card tells of it, and whoever started the old one is told."""
    killed(files, logical_date="2026-11-25")
    files.put("c", 3)
    newest = files.run(logical_date="2026-11-26")
    folder, warnings = Folder(str(files.out)), list[str]()
    late = generate(files.job(logical_date="2026-11-25"), on_warning=warnings.append)
    assert late.status == "complete"
    assert any("stays the newest" in text and "--run 2026-11-25 gives this one" in text for text in warnings)
    assert latest_manifest(folder) == newest.manifest
    assert newest.plan.run_id in folder.read("README.md").decode()
    assert [night.logical_date for night in nights(folder) if night.finished] == ["2026-11-25", "2026-11-26"]
    before = folder.list()
    for date in ("2026-11-25", "2026-11-26"):
        assert files.run(logical_date=date).status == "nothing to do"
    assert [path for path in folder.list() if "lease" not in path] == [path for path in before if "lease" not in path]
    undated = files.run()
    assert latest_manifest(folder) == undated.manifest, "a run without a date is newer than what was there"


def test_a_run_is_chosen_by_its_date(files: Night) -> None:
    first = files.run(logical_date="2026-11-25")
    files.put("a", 8)
    again = files.run(logical_date="2026-11-25")
    files.run(logical_date="2026-11-26")
    folder = Folder(str(files.out))
    assert chosen_manifest(folder, "2026-11-25").run_id == again.plan.run_id
    assert chosen_manifest(folder, first.plan.run_id[:8]).run_id == first.plan.run_id
    with pytest.raises(JobError, match=r"--run: '2026-11-24': no finished run has that id or date .*of 2026-11-26"):
        chosen_manifest(folder, "2026-11-24")
    assert hardset("verify", files.out, "--run", "2026-11-25", "--trust-code").returncode == 0
    assert last_json(hardset("show", files.out, "--run", "2026-11-25", "--json"))["run_id"] == again.plan.run_id
