"""Night after night: what is new is made, what was there is taken over, and what changed or vanished is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hardset.jobs.api.generation import ended
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest, newest_first, run_ids, summaries
from hardset.pipeline.run.generation import RunProgress, generate
from hardset.pipeline.run.run_state import look
from hardset.pipeline.sources import fingerprints
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Manifest
from tests.nights.conftest import Night
from tests.support import hardset, last_json

EVERY_CHANGE = ("remake", "keep", "fail")
EVERY_LOSS = ("drop", "keep", "fail")


def newest(night: Night) -> Manifest:
    manifest = latest_manifest(Folder(str(night.out)))
    assert manifest is not None
    return manifest


def rows_of(night: Night) -> dict[tuple[str, str], str]:
    """The rows that the newest manifest lists: digest of the image by source key and digest of its source image."""
    found = {}
    for output in newest(night).outputs:
        assert output.data is not None
        for row in pq.read_table(night.out / output.data.path).to_pylist():
            found[row["source_key"], row["source_sha256"]] = row["image_sha256"]
    return found


def clean_pass(night: Night, place: Path) -> dict[tuple[str, str], str]:
    """The same of one run over the source as it is, into an output of its own."""
    again = Night(place, night.kind)
    again.source = night.source
    again.run()
    return rows_of(again)


def test_a_source_that_grew_makes_its_new_shards_alone(files: Night) -> None:
    assert files.run().shards_made == 4
    files.put("c", 3)
    outcome = files.run()
    assert outcome.shards_made == 2
    manifest = newest(files)
    assert manifest.totals.rows_out == 18
    assert [output.run_id == manifest.run_id for output in manifest.outputs] == [False] * 4 + [True] * 2
    assert manifest.changes is not None
    assert (manifest.changes.new, manifest.changes.counts["new"]) == (("c.parquet",), 1)
    assert files.run().status == "nothing to do"
    files.check()


def test_images_that_sort_last_in_their_class_make_the_last_shards_alone(tmp_path: Path) -> None:
    night = Night(tmp_path, "imagefolder")
    for number, name in enumerate("abc"):
        night.put(name, number)
    assert night.run().shards_made == 6
    night.put("d", 9)
    assert night.run().shards_made == 2
    night.check()


@pytest.mark.parametrize("policy", EVERY_CHANGE)
def test_a_file_that_changed_is_handled_as_the_job_says(night: Night, tmp_path: Path, policy: str) -> None:
    night.run()
    before = rows_of(night)
    night.put("b", 7)
    if policy == "fail":
        with pytest.raises(JobError, match=r"source.changed: \d files? changed since run .*, and the job says fail"):
            generate(night.job(changed=policy))
        assert rows_of(night) == before
        return
    outcome = night.run(changed=policy)
    assert outcome.plan.changes is not None
    assert outcome.plan.changes.counts == {"new": 0, "changed": len(outcome.plan.changes.changed), "vanished": 0}
    assert all(name.rpartition("/")[2].startswith("b") for name in outcome.plan.changes.changed)
    assert rows_of(night) == (before if policy == "keep" else clean_pass(night, tmp_path / "clean"))
    assert any(output.kept for output in newest(night).outputs) == (policy == "keep")
    assert newest(night).totals.rows_out == 12
    night.check()
    assert night.run(changed=policy).status == "nothing to do"


@pytest.mark.parametrize("policy", EVERY_LOSS)
def test_a_file_that_vanished_is_handled_as_the_job_says(night: Night, tmp_path: Path, policy: str) -> None:
    night.put("c", 3)
    night.run()
    before = rows_of(night)
    night.remove("b")
    if policy == "fail":
        with pytest.raises(JobError, match=r"source.vanished: \d files? vanished since run .*source.vanished=drop or"):
            generate(night.job(vanished=policy))
        assert rows_of(night) == before
        return
    outcome = night.run(vanished=policy)
    assert outcome.plan.changes is not None
    assert outcome.plan.changes.vanished
    assert rows_of(night) == (before if policy == "keep" else clean_pass(night, tmp_path / "clean"))
    night.check()
    assert night.run(vanished=policy).status == "nothing to do"


def test_kept_rows_stay_while_the_source_goes_on_growing(night: Night) -> None:
    night.run(vanished="keep", changed="keep")
    before = rows_of(night)
    night.remove("a")
    night.put("b", 7)
    night.run(vanished="keep", changed="keep")
    night.put("c", 3)
    outcome = night.run(vanished="keep", changed="keep")
    assert outcome.made.rows_out == 6
    assert before.items() <= rows_of(night).items()
    assert len(rows_of(night)) == 18
    night.check()


def test_a_kept_file_that_is_back_is_a_file_like_any_other(night: Night, tmp_path: Path) -> None:
    night.run(vanished="keep")
    night.remove("b")
    night.run(vanished="keep")
    night.put("b", 2)
    night.run(vanished="keep")
    assert not any(output.kept for output in newest(night).outputs)
    assert rows_of(night) == clean_pass(night, tmp_path / "clean")
    night.check()


def test_rows_of_other_settings_are_not_kept(files: Night) -> None:
    """What the job asks for now was never made of the file that is gone."""
    files.run(vanished="keep")
    files.remove("b")
    outcome = files.run(vanished="keep", seed=1)
    assert outcome.shards_made == 2
    assert newest(files).totals.rows_out == 6
    files.check()


def test_a_source_as_it_was_before_is_the_newest_run_again(files: Night) -> None:
    """The third night is the first one's run: its manifest is there already, and yet the second one's is newer."""
    first = files.run()
    files.put("c", 3)
    second = files.run()
    files.remove("c")
    third = files.run()
    assert third.plan.run_id == first.plan.run_id != second.plan.run_id
    assert (third.status, third.shards_made) == ("complete", 0)
    assert newest(files).run_id == first.plan.run_id
    assert newest(files).totals.rows_out == 12
    files.check()
    assert files.run().status == "nothing to do"


def test_what_a_stopped_night_made_is_taken_over_though_the_source_grew(files: Night) -> None:
    from hardset.pipeline.run.budget import Budget

    assert generate(files.job(), budget=Budget(max_rows=7)).status == "stopped"
    files.put("c", 3)
    outcome = files.run()
    assert outcome.shards_made == 6 - 2
    assert len(run_ids(Folder(str(files.out)))) == 2
    files.check()


def test_another_reading_of_the_source_is_not_compared(files: Night) -> None:
    files.run()
    assert files.run(limit=6).plan.changes is None


def test_a_night_reads_one_manifest_and_no_file_that_it_knows(files: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate("cdef"):
        files.put(name, 10 + number)
        files.run()
    monkeypatch.setattr("hardset.pipeline.sources.fingerprints.RACY_SECONDS", -1.0)
    look(files.job())  # now all digests are known
    reads: list[str] = []
    read = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, path: reads.append(path) or read(self, path))  # type: ignore[func-returns-value]
    hashed: list[str] = []
    monkeypatch.setattr(fingerprints, "content_digest", lambda fs, path: hashed.append(path))
    assert look(files.job()).complete
    assert hashed == []
    assert sum(path.endswith("manifest.json") for path in reads) == 1
    assert sum(path.endswith("plan.json") for path in reads) == 1
    assert not any("/receipts/" in path for path in reads)


def test_plan_and_generate_tell_machines_what_changed(files: Night, tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(files.job().model_dump(mode="json")))
    assert last_json(hardset("plan", file, "--json"))["changes"] is None
    first = files.run()
    files.put("b", 7)
    files.put("c", 3)
    files.remove("a")
    wanted: dict[str, Any] = {"since": first.plan.run_id, "counts": {"new": 1, "changed": 1, "vanished": 1}}
    wanted |= {"new": ["c.parquet"], "changed": ["b.parquet"], "vanished": ["a.parquet"]}
    told = hardset("plan", file, "--json")
    assert last_json(told)["changes"] == wanted
    assert "Source files since run" in told.stdout
    warnings = last_json(told)["warnings"]
    assert [warning.partition(":")[0] for warning in warnings] == ["source.changed", "source.vanished"]
    assert "their rows are made anew" in warnings[0]
    assert ended(files.run()).model_dump(mode="json")["changes"] == wanted


def test_long_lists_of_changes_are_cut_and_counted(tmp_path: Path) -> None:
    night = Night(tmp_path, "imagefolder")
    night.put("a", 1)
    night.run()
    for number in range(20):
        night.put(f"b{number:02d}", number + 2)
    changes = look(night.job()).plan.changes
    assert changes is not None
    assert (len(changes.new), changes.counts["new"]) == (100, 120)


def test_progress_counts_what_was_there(files: Night) -> None:
    files.run()
    files.put("c", 3)
    told: list[RunProgress] = []
    generate(files.job(), on_progress=told.append)
    assert [(step.shards_done, step.shards) for step in told] == [(4, 6), (5, 6), (6, 6)]


def test_summaries_are_those_of_the_manifests(files: Night) -> None:
    files.run()
    files.put("c", 3)
    files.run()
    folder = Folder(str(files.out))
    found = {one.run_id: one for one in summaries(folder)}
    assert len(found) == 2
    last = found[newest(files).run_id]
    assert (last.made, last.taken_over, last.kept, last.shards, last.job) == (2, 4, 0, 6, "nightly")
    for run in run_ids(folder):
        folder.delete(f"_hardset/runs/{run}/summary.json")
    assert {one.run_id: one for one in summaries(folder)} == found
    assert next(newest_first(folder)).run_id == last.run_id


def test_a_summary_without_its_manifest_is_no_commit(files: Night) -> None:
    first = files.run()
    files.put("c", 3)
    second = files.run()
    folder = Folder(str(files.out))
    folder.delete(f"_hardset/runs/{second.plan.run_id}/manifest.json")
    assert newest(files).run_id == first.plan.run_id
    assert Ledger(folder, second.plan.run_id).manifest() is None
    again = files.run()
    assert (again.status, again.shards_made) == ("complete", 0)
    files.check()
