"""What `hardset gc` removes, what it never touches, and that `hardset verify` names the same files."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hardset.pipeline.audit.gc
import hardset.pipeline.audit.gc as collection
from hardset.pipeline.audit.gc import OLD_RECORD, OLD_RUN, UNFINISHED, UNLISTED, collect, look, orphans
from hardset.pipeline.audit.record_checks import record_faults
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.dataset.records.ledger import Ledger, manifests
from hardset.pipeline.dataset.records.turns import current_holder
from hardset.pipeline.dataset.tables.delta import publish_delta
from hardset.pipeline.dataset.tables.iceberg import parse_target, publish_iceberg
from hardset.pipeline.dataset.tables.listing import published_files
from hardset.pipeline.storage.folder import TEMPORARY, Folder
from hardset.schemas.errors import HeldError, JobError, RunError
from hardset.schemas.records.run import Manifest, Shard
from tests.dataset.examples import RUN, commit_shard, finished_run, manifest_of, plan_of, shard_of
from tests.support import hardset, last_json

SECOND, THIRD = "feedfeed" + RUN[8:], "beefbeef" + RUN[8:]


@pytest.fixture
def disk(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "out"))


@pytest.fixture
def memory() -> Iterator[Folder]:
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    yield folder
    for path in folder.list():
        folder.delete(path)


def night(folder: Folder, run: str, shards: tuple[Shard, ...], taken: Manifest | None, day: int) -> Manifest:
    """A run that takes over what `taken` has and makes the rest."""
    ledger = Ledger(folder, run)
    ledger.write_plan(plan_of(shards, run_id=run))
    old = Ledger(folder, taken.run_id).receipts() if taken else {}
    receipts = [old.get(shard.key) or commit_shard(ledger, shard, seed=day, lost=1) for shard in shards]
    manifest = manifest_of(shards, receipts, finished=f"2026-01-{day:02d}T00:00:00Z")
    manifest = manifest.model_copy(update={"run_id": run})
    ledger.write_manifest(manifest)
    return manifest


@pytest.fixture
def three(disk: Folder) -> list[Manifest]:
    """Three nights: the second keeps a shard of the first and makes one anew; the third shares nothing."""
    first = night(disk, RUN, (shard_of(0), shard_of(1)), None, 1)
    second = night(disk, SECOND, (shard_of(0), shard_of(1, key="f" * 64)), first, 2)
    third = night(disk, THIRD, (shard_of(0, key="e" * 64),), None, 3)
    return [first, second, third]


def files_of(*runs: Manifest) -> set[str]:
    outputs = [output for run in runs for output in run.outputs]
    return {file.path for output in outputs for file in (output.data, output.quarantine) if file}


def stray(folder: Folder) -> list[str]:
    """Files that no record lists: of a run that is known, and of none."""
    paths = [
        f"data/{RUN[:8]}/train-00009-{'0' * 12}.parquet",
        f"data/0badf00d/train-00000-{'0' * 12}.parquet",
        f"quarantine/0badf00d-00000-{'0' * 12}.parquet",
        f"_hardset/quarantine/0badf00d-00000-{'0' * 12}.jsonl",
    ]
    for path in paths:
        folder.write(path, b"stray")
    return paths


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_orphans_are_found_by_both_and_removed_on_demand(place: str, request: pytest.FixtureRequest) -> None:
    folder: Folder = request.getfixturevalue(place)
    manifest = finished_run(folder, (shard_of(0), shard_of(1)), lost=1)
    kept, paths = folder.list(), stray(folder)
    found = orphans(folder)
    assert [(one.path, one.bytes, one.why) for one in found] == [(path, 5, UNLISTED) for path in sorted(paths)]
    assert {(one.path, one.why) for one in found} <= set(record_faults(folder, manifest, None, {}))
    assert look(folder).bytes == 20
    assert set(folder.list()) == {*kept, *paths}
    assert collect(folder).orphans == tuple(found)
    assert [path for path in folder.list() if "lease" not in path] == kept
    assert collect(folder).orphans == ()


def test_receipts_of_a_stopped_run_protect_its_files(disk: Folder) -> None:
    ledger = Ledger(disk, RUN)
    ledger.write_plan(plan_of((shard_of(0), shard_of(1))))
    commit_shard(ledger, shard_of(0), lost=1)
    before = disk.list()
    stray(disk)
    collect(disk)
    assert [path for path in disk.list() if "lease" not in path] == before


def test_a_receipt_of_a_finished_run_protects_its_file_too(disk: Folder) -> None:
    manifest = finished_run(disk, (shard_of(0),))
    late = commit_shard(Ledger(disk, RUN), shard_of(7))  # of a worker that woke up after the run had ended
    assert late.data is not None
    assert orphans(disk) == []
    assert late.data.path in disk.list("data/")
    assert files_of(manifest) <= set(disk.list())


def test_unfinished_files_are_orphans_once_they_are_old(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = finished_run(disk, (shard_of(0),))
    root = Path(disk.url)
    young, old = (root / "data" / f"{TEMPORARY}{name}" for name in ("young", "old"))
    for file in (young, old):
        file.write_bytes(b"part")
    os.utime(old, (time.time() - 7200,) * 2)
    assert [(one.path, one.why) for one in orphans(disk)] == [(f"data/{old.name}", UNFINISHED)]
    assert (f"data/{old.name}", UNFINISHED) in set(record_faults(disk, manifest, None, {}))
    collect(disk)
    assert (young.exists(), old.exists()) == (True, False)


def test_a_run_at_work_is_left_alone(disk: Folder) -> None:
    finished_run(disk, (shard_of(0),))
    stray(disk)
    with hold_lease(disk, RUN):
        # Its own files may be about to be listed; others are not its own.
        assert [one.path.split("/")[0] for one in orphans(disk)] == ["_hardset", "data", "quarantine"]
        before = disk.list()
        for arguments in ([], ["--delete"]):
            done = hardset("gc", disk.url, *arguments)
            assert done.returncode == 5
            assert f"run {RUN} holds this output" in done.stderr
        with pytest.raises(HeldError, match="holds this output"):
            collect(disk)
        assert disk.list() == before
    assert current_holder(disk) is None


def test_no_run_starts_while_files_are_removed(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(disk, (shard_of(0),))
    seen: list[str] = []
    own = collection.look

    def spied(folder: Folder, **settings: Any) -> Any:
        with pytest.raises(HeldError, match="run gc holds this output"), hold_lease(folder, RUN):
            pass
        seen.append("tried")
        return own(folder, **settings)

    monkeypatch.setattr("hardset.pipeline.audit.gc.look", spied)
    collect(disk)
    assert seen == ["tried"]


def test_runs_that_are_given_up_lose_what_no_kept_run_needs(disk: Folder, three: list[Manifest]) -> None:
    first, second, third = three
    found = look(disk, keep_runs=2)
    assert (found.given_up, found.kept_records) == ((RUN,), (RUN,))  # the second night lists a file of the first
    assert {one.path for one in found.orphans} == files_of(first) - files_of(second, third)
    assert {one.why for one in found.orphans} == {OLD_RUN}
    assert collect(disk, keep_runs=2) == found
    assert set(disk.list("data/")) | set(disk.list("_hardset/quarantine/")) == files_of(second, third)
    assert orphans(disk) == []


def test_runs_that_nobody_needs_go_with_their_records(disk: Folder, three: list[Manifest]) -> None:
    *_, third = three
    found = collect(disk, keep_runs=1)
    assert (found.given_up, found.kept_records) == ((RUN, SECOND), ())
    assert [one.run_id for one in manifests(disk)] == [THIRD]
    assert disk.folders("_hardset/runs") == [THIRD]
    assert disk.folders("data") == [THIRD[:8]]
    assert set(disk.list("data/")) | set(disk.list("_hardset/quarantine/")) == files_of(third)
    records = [one.path for one in found.orphans if one.why == OLD_RECORD]
    for run in (RUN, SECOND):  # each manifest last, so that a sweep that was cut off is taken up again
        assert [path for path in records if run in path][-1].endswith("/manifest.json")
    assert orphans(disk) == []


def test_a_sweep_that_is_cut_off_anywhere_leaves_a_sound_folder(
    disk: Folder, three: list[Manifest], tmp_path: Path
) -> None:
    steps = len(look(disk, keep_runs=1).orphans)
    for cut in range(steps):
        copy = Folder(str(tmp_path / f"cut{cut}"))
        shutil.copytree(disk.url, copy.url)
        for orphan in look(copy, keep_runs=1).orphans[:cut]:
            copy.delete(orphan.path)
        for manifest in manifests(copy):  # a manifest that is left lists files that are left
            assert files_of(manifest) <= set(copy.list())
        collect(copy, keep_runs=1)
        assert set(copy.list("data/")) | set(copy.list("_hardset/quarantine/")) == files_of(three[2])
        assert copy.folders("_hardset/runs") == [THIRD]


@pytest.mark.parametrize("publish", [publish_iceberg, publish_delta])
def test_files_that_a_table_ever_listed_stay(
    publish: Callable[..., Any], disk: Folder, three: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, third = three
    publish(disk, first)
    publish(disk, third)
    data = {output.data.path for run in (first, third) for output in run.outputs if output.data}
    assert published_files(disk) == data
    collect(disk, keep_runs=1)
    assert set(disk.list("data/")) == data
    assert collect(disk).orphans == ()  # no record lists the files of the first run any more, but the table does


def test_a_table_in_another_catalogue_is_known_of(disk: Folder, three: list[Manifest], tmp_path: Path) -> None:
    publish_iceberg(disk, three[0], parse_target(f"sqlite:///{tmp_path}/far.db/images.hard"))
    assert published_files(disk) == {output.data.path for output in three[0].outputs if output.data}
    (note,) = disk.list("_hardset/iceberg/published/")
    disk.write(note, b'{"metadata":"file:///nowhere/x.metadata.json","table":"t"}\n')
    with pytest.raises(RunError, match="cannot be read, so the files that it lists are not known"):
        collect(disk, keep_runs=1)


def test_nothing_is_removed_where_a_record_cannot_be_believed(disk: Folder, three: list[Manifest]) -> None:
    paths = stray(disk)
    path = f"_hardset/runs/{RUN}/manifest.json"
    disk.write(path, disk.read(path).replace(b"complete", b"completE"))
    with pytest.raises(RunError, match="was changed after it was written"):
        collect(disk)
    assert set(paths) <= set(disk.list())


def test_the_verb_says_what_it_would_do_and_does_it(disk: Folder, three: list[Manifest]) -> None:
    stray(disk)
    done = hardset("gc", disk.url, "--json")
    found = last_json(done)
    assert (done.returncode, found["status"], found["files"], found["bytes"]) == (0, "found", 4, 20)
    assert "Would remove 4 files, 20 B; --delete does it" in done.stdout
    done = hardset("gc", disk.url, "--delete", "--json")
    assert last_json(done) == found | {"status": "deleted"}
    done = hardset("gc", disk.url, "--delete", "--keep-runs", 2, "--json")
    assert (done.returncode, last_json(done)["given_up"]) == (0, [RUN])
    assert "Records of 1 run stay" in done.stdout
    assert last_json(hardset("gc", disk.url, "--json"))["status"] == "nothing to do"
    assert hardset("gc", disk.url, "--keep-runs", 0).returncode == 2
    with pytest.raises(JobError, match="wants 1 or more"):
        look(disk, keep_runs=0)


@pytest.mark.parametrize("arguments", [[], ["--delete"]])
def test_a_folder_that_is_no_dataset_is_named_and_left_alone(disk: Folder, arguments: list[str]) -> None:
    done = hardset("gc", disk.url, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no run here" in done.stderr
    assert not Path(disk.url).exists()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody's own, with files named as hardset names its own."""
    place = tmp_path / "elsewhere"
    for name in (f"0badf00d/train-00000-{'0' * 12}.parquet", f"0badf00d-00000-{'0' * 12}.parquet", ".hardset-tmp-ab"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"theirs")
        os.utime(place / name, (time.time() - 7200,) * 2)
    return place


@pytest.mark.parametrize(
    "linked", ["data/0badf00d", "data", "quarantine", "_hardset/quarantine", "_hardset/runs/linked"]
)
def test_nothing_is_removed_through_a_link(disk: Folder, elsewhere: Path, linked: str, tmp_path: Path) -> None:
    finished_run(disk, (shard_of(0),), lost=1)
    link = Path(disk.url) / linked
    target = elsewhere / "0badf00d" if linked == "data/0badf00d" else elsewhere
    if link.exists():
        link.rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", elsewhere, dirs_exist_ok=True)
    link.symlink_to(target, target_is_directory=True)
    before = sorted(path for path in elsewhere.rglob("*"))
    for arguments in (["--delete"], ["--delete", "--keep-runs", "1"]):
        done = hardset("gc", disk.url, *arguments)
        assert done.returncode == 0, done.stderr
    assert sorted(path for path in elsewhere.rglob("*")) == before


def test_a_file_that_hardset_did_not_name_is_told_and_left(disk: Folder) -> None:
    manifest = finished_run(disk, (shard_of(0),))
    for path in (
        "data/notes.md",
        "_hardset/quarantine/x.jsonl",
        "quarantine/x.parquet",
        f"data/{RUN[:8]}/mine.parquet",
    ):
        disk.write(path, b"mine")
    found = look(disk)
    assert (found.orphans, len(found.foreign)) == ((), 4)
    assert {one.path for one in found.foreign} <= {path for path, _ in record_faults(disk, manifest, None, {})}
    collect(disk)
    Ledger(disk, RUN).sweep(manifest)
    assert {one.path for one in found.foreign} <= set(disk.list())


def test_a_folder_never_deletes_what_lies_elsewhere(disk: Folder, elsewhere: Path) -> None:
    disk.write("kept.json", b"1")
    (Path(disk.url) / "out").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(RunError, match="a link on its way leads elsewhere"):
        disk.delete("out/.hardset-tmp-ab")
    assert (elsewhere / ".hardset-tmp-ab").exists()
