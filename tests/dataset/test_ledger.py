"""The commit protocol: one winner, nothing or all after any interruption, orphans swept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hardset.pipeline.dataset.files.parquet import check_file
from hardset.pipeline.dataset.records.ledger import (
    Ledger,
    latest_manifest,
    manifests,
    receipt_paths,
    run_ids,
    shards_of_others,
)
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import RunError
from hardset.schemas.records.counts import Counts
from tests.dataset.examples import CLASSES, RUN, commit_shard, finished_run, manifest_of, plan_of, shard_of

OTHER_RUN = "9f9f9f9f-1111-8222-8333-444455556666"


def test_a_commit_publishes_files_and_receipt(folder: Folder) -> None:
    ledger = Ledger(folder, RUN)
    receipt = commit_shard(ledger, shard_of(7), lost=1)
    assert receipt.data is not None
    assert receipt.quarantine is not None
    content = folder.read(receipt.data.path)
    assert receipt.data.path == f"data/0a1b2c3d/train-00007-{sha256_hex(content)[:12]}.parquet"
    assert (receipt.data.sha256, receipt.data.bytes, receipt.data.rows) == (sha256_hex(content), len(content), 2)
    assert check_file(content, classes=CLASSES, rows=2, content=receipt.content_sha256)
    lost = folder.read(receipt.quarantine.path)
    assert receipt.quarantine.path == f"_hardset/quarantine/0a1b2c3d-00007-{sha256_hex(lost)[:12]}.jsonl"
    assert receipt.quarantine.rows == 1
    assert ledger.receipts() == {shard_of(7).key: receipt}
    assert folder.list("_hardset/runs") == [f"_hardset/runs/{RUN}/receipts/000007-000000000000.json"]


def test_a_shard_without_rows_has_a_receipt_and_no_file(folder: Folder) -> None:
    receipt = commit_shard(Ledger(folder, RUN), shard_of(0), lost=3)
    assert receipt.data is None
    assert folder.list("data") == []
    assert len(folder.list("_hardset/quarantine")) == 1


def test_plan_and_manifest_come_back(folder: Folder) -> None:
    ledger, shards = Ledger(folder, RUN), (shard_of(0), shard_of(1, recipe=1))
    assert ledger.plan() is ledger.manifest() is None
    assert run_ids(folder) == manifests(folder) == []
    assert latest_manifest(folder) is None
    manifest = finished_run(folder, shards)
    assert ledger.plan() == plan_of(shards)
    assert ledger.manifest() == latest_manifest(folder) == manifest


def test_manifests_are_sorted_by_their_end(disk: Folder) -> None:
    ends = {"b" * 8 + RUN[8:]: "2026-01-03T00:00:00Z", "c" * 8 + RUN[8:]: "2026-01-01T00:00:00Z"}
    for number, (run, end) in enumerate(ends.items()):
        ledger, shard = Ledger(disk, run), shard_of(number)
        ledger.write_manifest(manifest_of((shard,), [commit_shard(ledger, shard)], finished=end))
    Ledger(disk, OTHER_RUN).write_plan(plan_of(run_id=OTHER_RUN))
    assert [m.finished for m in manifests(disk)] == sorted(ends.values())
    assert run_ids(disk) == sorted([*ends, OTHER_RUN])


def test_a_second_attempt_gets_the_first_ones_receipt(folder: Folder) -> None:
    ledger = Ledger(folder, RUN)
    first = commit_shard(ledger, shard_of(0))
    before = folder.list()
    assert commit_shard(ledger, shard_of(0), attempt=2) == first
    assert commit_shard(ledger, shard_of(0), attempt=3, seed=99, lost=1) == first
    assert folder.list() == before


def test_many_attempts_with_other_bytes_have_one_winner(folder: Folder) -> None:
    ledger, start = Ledger(folder, RUN), threading.Barrier(8)

    def attempt(number: int) -> Any:
        start.wait()
        return commit_shard(ledger, shard_of(0), attempt=number + 1, seed=number)

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(attempt, range(8)))
    assert all(receipt == receipts[0] for receipt in receipts)
    assert folder.list("data") == [receipts[0].data.path]
    assert sha256_hex(folder.read(receipts[0].data.path)) == receipts[0].data.sha256


def test_a_receipt_whose_file_is_gone_counts_no_more(folder: Folder) -> None:
    ledger = Ledger(folder, RUN)
    first = commit_shard(ledger, shard_of(0))
    folder.delete(first.data.path)  # type: ignore[union-attr]
    again = commit_shard(ledger, shard_of(0), seed=99, attempt=2)
    assert again.attempt == 2
    assert ledger.receipts()[again.key] == again
    assert folder.list("data") == [again.data.path]  # type: ignore[union-attr]


def test_a_wrong_row_count_is_not_committed(disk: Folder) -> None:
    with pytest.raises(RunError, match="does not hold the 4 rows"):
        commit_shard(Ledger(disk, RUN), shard_of(0), counts=Counts(rows_out=4))
    assert disk.list() == []


class Stopped(BaseException):
    """The process is gone."""


class Failing(Folder):
    """A folder whose n-th change is the last: it is refused, or the process dies before or right after it."""

    def __init__(self, url: str, change: int, how: str) -> None:
        super().__init__(url)
        self.left, self.how = change, how

    def write(self, path: str, data: bytes) -> None:
        self._last(lambda: super(Failing, self).write(path, data))

    def create(self, path: str, data: bytes) -> bool:
        return bool(self._last(lambda: super(Failing, self).create(path, data)))

    def delete(self, path: str) -> None:
        self._last(lambda: super(Failing, self).delete(path))

    def _last(self, change: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and self.how == "refused":
            raise RunError("out: cannot write: No space left on device")
        if self.left == 0 and self.how == "killed before":
            raise Stopped
        done = change()
        if self.left == 0:
            raise Stopped
        return done


def assert_nothing_or_all(folder: Folder) -> bool:
    """Whether the shard is committed; every file that records name is whole."""
    receipts = Ledger(folder, RUN).receipts()
    for receipt in receipts.values():
        for file in (receipt.data, receipt.quarantine):
            assert file is None or sha256_hex(folder.read(file.path)) == file.sha256
        assert receipt.data is not None
        check_file(folder.read(receipt.data.path), classes=CLASSES, rows=2, content=receipt.content_sha256)
    return bool(receipts)


@pytest.mark.parametrize("how", ["refused", "killed before", "killed after"])
@pytest.mark.parametrize("change", [1, 2, 3])
def test_an_interrupted_commit_is_nothing_or_all(url: str, change: int, how: str) -> None:
    with pytest.raises((RunError, Stopped)):
        commit_shard(Ledger(Failing(url, change, how), RUN), shard_of(0), lost=1)
    committed = assert_nothing_or_all(folder := Folder(url))
    assert committed == (change == 3 and how == "killed after")
    receipt = commit_shard(Ledger(folder, RUN), shard_of(0), lost=1, attempt=2)
    assert receipt.attempt == (1 if committed else 2)
    clean = commit_shard(Ledger(Folder(url + "-clean"), RUN), shard_of(0), lost=1)
    assert folder.list("data") + folder.list("_hardset/quarantine") == [clean.data.path, clean.quarantine.path]  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["refused", "killed before", "killed after"])
@pytest.mark.parametrize("change", [1, 2, 3])
def test_an_interrupted_end_is_no_manifest_or_a_whole_one(disk: Folder, change: int, how: str) -> None:
    ledger, shards = Ledger(disk, RUN), (shard_of(0), shard_of(1))
    receipts = [commit_shard(ledger, shard) for shard in shards]
    disk.write("data/0a1b2c3d/train-00000-ffffffffffff.parquet", b"an attempt that died")
    manifest = manifest_of(shards, receipts)
    with pytest.raises((RunError, Stopped)):
        Ledger(Failing(disk.url, change, how), RUN).write_manifest(manifest)
    assert ledger.manifest() == latest_manifest(disk) == (manifest if (change, how) == (3, "killed after") else None)
    ledger.write_manifest(manifest)
    assert disk.list("data") == sorted(r.data.path for r in receipts if r.data)
    assert ledger.manifest() == manifest


def test_a_sweep_leaves_other_runs_alone(disk: Folder) -> None:
    twin = RUN[:-1] + "0"  # another run whose id starts with the same eight digits
    kept = [commit_shard(Ledger(disk, run), shard_of(i), lost=1).data for i, run in enumerate((RUN, OTHER_RUN, twin))]
    orphans = [
        "_hardset/quarantine/0a1b2c3d-00004-ffffffffffff.jsonl",
        "data/0a1b2c3d/train-00004-ffffffffffff.parquet",
        "quarantine/0a1b2c3d-00004-ffffffffffff.parquet",
    ]
    for orphan in [*orphans, "data/9f9f9f9f/train-00004-ffffffffffff.parquet"]:
        disk.write(orphan, b"x")
    assert Ledger(disk, RUN).sweep() == orphans
    assert len(disk.list("data")) == len(kept) + 1
    assert len(disk.list("_hardset/quarantine")) == 3


def test_a_sweep_keeps_what_any_manifest_lists(disk: Folder) -> None:
    shards = (shard_of(0), shard_of(1))
    manifest = finished_run(disk, shards, lost=1)
    before = disk.list("data") + disk.list("_hardset/quarantine")
    for receipt in disk.list(f"_hardset/runs/{RUN}/receipts"):
        disk.delete(receipt)
    assert Ledger(disk, RUN).sweep() == []
    disk.delete(f"_hardset/runs/{RUN}/manifest.json")
    later = manifest.model_copy(update={"run_id": OTHER_RUN})
    Ledger(disk, OTHER_RUN).write_manifest(later)
    assert Ledger(disk, RUN).sweep() == []
    assert disk.list("data") + disk.list("_hardset/quarantine") == before


@pytest.mark.parametrize("content", [b"", b"{", b'{"run_id": "x"}'])
def test_a_broken_record_is_named(disk: Folder, content: bytes) -> None:
    ledger = Ledger(disk, RUN)
    receipt = f"_hardset/runs/{RUN}/receipts/000000-0123456789ab.json"
    disk.write(receipt, content)
    with pytest.raises(RunError, match=f"{receipt} is not a receipt of this version"):
        ledger.receipts()
    disk.write(f"_hardset/runs/{RUN}/manifest.json", content)
    with pytest.raises(RunError, match=r"manifest.json is not a manifest"):
        manifests(disk)


CHANGES = [(b'"classes":["no"', b'"classes":["on"'), (b'"seal":"', b'"seal":"0'), (b"}\n", b"}")]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_record_is_not_believed(disk: Folder, change: tuple[bytes, bytes]) -> None:
    finished_run(disk, (shard_of(0),))
    path = f"_hardset/runs/{RUN}/manifest.json"
    content = disk.read(path)
    assert change[0] in content
    disk.write(path, content.replace(*change))
    with pytest.raises(RunError, match=r"manifest.json (was changed after it was written|is not a manifest)"):
        manifests(disk)


class Counted(Folder):
    """A folder that counts how often it is asked what is there."""

    asked = 0

    def list(self, prefix: str = "") -> Any:
        self.asked += 1
        return super().list(prefix)

    def exists(self, path: str) -> bool:
        self.asked += 1
        return super().exists(path)


def test_receipts_take_one_listing(disk: Folder) -> None:
    for index in range(20):
        commit_shard(Ledger(disk, RUN), shard_of(index, key=f"{index:012d}" + "0" * 52))
    counted = Counted(disk.url)
    found = Ledger(counted, RUN).receipts()
    assert {receipt.index for receipt in found.values()} == set(range(20))
    assert counted.asked == 1


def test_split_names_make_file_names(disk: Folder) -> None:
    receipt = commit_shard(Ledger(disk, RUN), shard_of(0, split="train/a b"))
    assert receipt.data is not None
    assert receipt.data.path.startswith("data/0a1b2c3d/train_a_b-00000-")


def test_shards_that_others_made_are_counted_and_receipts_listed_by_run_or_over_all(disk: Folder) -> None:
    other = "99999999-1111-8222-8333-444455556666"
    shards = [shard_of(index, key=f"{index:012d}" + "0" * 52) for index in range(4)]
    for run, made in ((RUN, shards[:2]), (other, shards[1:3])):
        for shard in made:
            commit_shard(Ledger(disk, run), shard)
    plan = plan_of(tuple(shards))
    assert shards_of_others(disk, plan) == 1
    assert shards_of_others(disk, plan_of(tuple(shards), run_id=other)) == 1
    keys = [shard.key for shard in shards]
    assert len(receipt_paths(disk, keys)) == 4
    assert len(receipt_paths(disk, keys[:1])) == 1
    for run in (RUN, other):
        found = receipt_paths(disk, keys, of_run=run)
        assert len(found) == 2
        assert all(f"/{run}/" in path for path in found)
