"""Publishing: the table holds the rows of the newest run, one version per run, and a second time changes nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import deltalake.transaction
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import SqlCatalog

from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.dataset.tables.delta import publish_delta
from hardset.pipeline.dataset.tables.iceberg import Target, parse_target, publish_iceberg
from hardset.pipeline.dataset.tables.publication import Publication
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import Failure, Manifest
from hardset.schemas.rows.contract import COLUMNS
from tests.dataset.examples import RUN, commit_shard, finished_run, manifest_of, shard_of
from tests.support import hardset, last_json

NEW = "feedfeed" + RUN[8:]
Publish = Callable[[Folder, Manifest], Publication]


@pytest.fixture
def first(disk: Folder) -> Manifest:
    """A finished run of two shards, three rows each."""
    return finished_run(disk, (shard_of(0), shard_of(1)))


def next_run(folder: Folder, old: Manifest) -> Manifest:
    """A run that keeps the first shard of `old`, makes the second anew with one row less, and adds a third."""
    shards = (shard_of(0), shard_of(1), shard_of(2))
    ledger = Ledger(folder, NEW)
    kept = Ledger(folder, old.run_id).receipts()[shards[0].key]
    receipts = [kept, commit_shard(ledger, shards[1], seed=5, lost=1), commit_shard(ledger, shards[2])]
    manifest = manifest_of(shards, receipts, finished="2026-01-02T00:00:00Z")
    ledger.write_manifest(manifest)
    return manifest


def iceberg_rows(folder: Folder, snapshot: int | None = None) -> pa.Table:
    catalogue = load_catalog("hardset", uri=f"sqlite:///{folder.place}/_hardset/iceberg/catalog.db")
    rows = catalogue.load_table("hardset.rows").scan(snapshot_id=snapshot).to_arrow()
    catalogue.close()
    return rows


def delta_rows(folder: Folder, version: int | None = None) -> pa.Table:
    return deltalake.DeltaTable(folder.url, version=version).to_pyarrow_table()


READ: dict[Publish, Callable[..., pa.Table]] = {publish_iceberg: iceberg_rows, publish_delta: delta_rows}
both = pytest.mark.parametrize("publish", READ)


def stored(folder: Folder, manifest: Manifest) -> list[dict[str, Any]]:
    """The rows of the files that the manifest lists, read with nothing between."""
    files = [Path(folder.url) / output.data.path for output in manifest.outputs if output.data]
    return by_id(pa.concat_tables([pq.read_table(file) for file in files], promote_options="default"))


def by_id(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: row["row_id"])


@both
def test_the_table_holds_every_value_of_the_run(publish: Publish, disk: Folder, first: Manifest) -> None:
    before = {path: disk.read(path) for path in disk.list("data/")}
    done = publish(disk, first)
    assert (done.added, done.removed, done.new) == (2, 0, True)
    table = READ[publish](disk)
    assert set(table.column_names) == {column.name for column in COLUMNS}
    assert by_id(table) == stored(disk, first)
    assert {path: disk.read(path) for path in disk.list("data/")} == before


@both
def test_a_second_time_changes_nothing(publish: Publish, disk: Folder, first: Manifest) -> None:
    once = publish(disk, first)
    before = {path: disk.read(path) for path in disk.list()}
    again = publish(disk, first)
    assert (again.added, again.removed, again.new, again.version) == (0, 0, False, once.version)
    assert {path: disk.read(path) for path in disk.list() if not path.endswith(".db")} == {
        path: data for path, data in before.items() if not path.endswith(".db")
    }


@both
def test_a_new_run_is_one_more_version_and_the_old_one_stays(publish: Publish, disk: Folder, first: Manifest) -> None:
    old = publish(disk, first)
    rows = stored(disk, first)
    second = next_run(disk, first)
    done = publish(disk, second)
    assert (done.added, done.removed, done.new) == (2, 1, True)
    assert by_id(READ[publish](disk)) == stored(disk, second)
    assert by_id(READ[publish](disk, int(old.version))) == rows
    assert publish(disk, first).new is False  # it was published once, and history is not gone back on


COMMIT: dict[Publish, tuple[Any, str]] = {
    publish_iceberg: (SqlCatalog, "commit_table"),
    publish_delta: (deltalake.DeltaTable, "create_write_transaction"),
}
"""What each library commits by."""
CREATE: dict[Publish, tuple[Any, str]] = {
    publish_iceberg: (SqlCatalog, "create_table"),
    publish_delta: (deltalake.transaction, "create_table_with_add_actions"),
}
"""What each library makes a table by."""


def coming_first(act: tuple[Any, str], other: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets another writer commit once, right before the next commit, when all that it rests on has been read."""
    owner, name = act
    commit, waiting = getattr(owner, name), [other]

    def late(*arguments: Any, **named: Any) -> Any:
        if waiting:
            waiting.pop()()
        return commit(*arguments, **named)

    monkeypatch.setattr(owner, name, late)


def write_between(publish: Publish, folder: Folder) -> None:
    """A commit that hardset knows nothing of."""
    if publish is publish_delta:
        deltalake.DeltaTable(folder.url).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
        return
    catalogue = load_catalog("hardset", uri=f"sqlite:///{folder.place}/_hardset/iceberg/catalog.db")
    table = catalogue.load_table("hardset.rows")
    table.append(table.scan().to_arrow().slice(0, 0))
    catalogue.close()


@both
def test_the_version_told_is_that_of_the_run_whoever_else_writes(
    publish: Publish, disk: Folder, first: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, rows = publish(disk, first), stored(disk, first)
    second = next_run(disk, first)
    coming_first(COMMIT[publish], lambda: write_between(publish, disk), monkeypatch)
    done = publish(disk, second)
    assert done.new and by_id(READ[publish](disk, int(done.version))) == stored(disk, second)
    write_between(publish, disk)
    assert publish(disk, second) == Publication(done.table, done.version, 0, 0, False)
    assert publish(disk, first).version == old.version
    assert by_id(READ[publish](disk, int(old.version))) == rows


@both
@pytest.mark.parametrize("act", [CREATE, COMMIT], ids=["create", "commit"])
def test_two_who_publish_at_once_leave_the_rows_of_one_run(
    act: dict[Publish, tuple[Any, str]],
    publish: Publish,
    disk: Folder,
    first: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if act is COMMIT:
        publish(disk, first)
    second = next_run(disk, first)
    told: list[Publication] = []
    coming_first(act[publish], lambda: told.append(publish(disk, second)), monkeypatch)
    done = publish(disk, second)
    assert (told[0].new, done.new, done.version) == (True, False, told[0].version)
    assert by_id(READ[publish](disk)) == stored(disk, second)


@both
def test_a_run_that_came_between_is_taken_out_again(
    publish: Publish, disk: Folder, first: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(disk, finished_run(disk, (shard_of(3),), run_id="ab" + RUN[2:]))
    second = next_run(disk, first)
    coming_first(COMMIT[publish], lambda: publish(disk, first), monkeypatch)
    done = publish(disk, second)
    assert done.new and by_id(READ[publish](disk, int(done.version))) == stored(disk, second)
    assert by_id(READ[publish](disk)) == stored(disk, second)


def test_one_snapshot_and_one_commit_per_run(disk: Folder, first: Manifest) -> None:
    for manifest in (first, first, next_run(disk, first)):
        publish_iceberg(disk, manifest)
        publish_delta(disk, manifest)
    catalogue = load_catalog("hardset", uri=f"sqlite:///{disk.place}/_hardset/iceberg/catalog.db")
    shots = catalogue.load_table("hardset.rows").snapshots()
    catalogue.close()
    assert [shot.summary.additional_properties["hardset.run-id"] for shot in shots] == [RUN, NEW]
    history = deltalake.DeltaTable(disk.url).history()
    assert [commit["hardset.run-id"] for commit in history] == [NEW, RUN]


def test_a_delta_table_moves_with_its_folder_and_keeps_its_neighbours(disk: Folder, first: Manifest) -> None:
    publish_delta(disk, first)
    rows = stored(disk, first)
    moved = Folder(shutil.move(disk.url, disk.url + "-moved"))
    assert by_id(delta_rows(moved)) == rows
    assert deltalake.DeltaTable(moved.url).vacuum(dry_run=True) == []


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_iceberg_table_is_told_of(move: Callable[..., Any], disk: Folder, first: Manifest) -> None:
    publish_iceberg(disk, first)
    moved = Folder(str(move(disk.url, disk.url + "-moved")))
    with pytest.raises(RunError, match=r"absolute paths; remove _hardset/iceberg"):
        publish_iceberg(moved, first)
    shutil.rmtree(Path(moved.url) / "_hardset" / "iceberg")
    publish_iceberg(moved, first)
    assert by_id(iceberg_rows(moved)) == stored(moved, first)


@both
def test_columns_of_a_later_contract_are_added(publish: Publish, disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("hardset.schemas.rows.contract.COLUMNS", COLUMNS[:-2])
        first = finished_run(disk, (shard_of(0), shard_of(1)))
        publish(disk, first)
    assert len(READ[publish](disk).column_names) == len(COLUMNS) - 2
    second = next_run(disk, first)
    publish(disk, second)
    assert by_id(READ[publish](disk)) == stored(disk, second)


def test_another_catalogue_and_another_table(disk: Folder, first: Manifest, tmp_path: Path) -> None:
    target = parse_target(f"sqlite:///{tmp_path}/elsewhere.db/images.nightly.hard")
    assert target == Target(f"sqlite:///{tmp_path}/elsewhere.db", "images.nightly.hard")
    publish_iceberg(disk, first, target)
    catalogue = load_catalog("hardset", uri=target.catalogue)
    assert by_id(catalogue.load_table("images.nightly.hard").scan().to_arrow()) == stored(disk, first)
    catalogue.close()
    assert not disk.exists("_hardset/iceberg/catalog.db")


@pytest.mark.parametrize("text", ["", "images.hard", "sqlite:///a.db", "/a.b", "https://user:secret@host/x/rows"])
def test_a_target_without_table_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(JobError, match=r"names no table") as told:
        parse_target(text)
    assert "secret" not in str(told.value)


@pytest.fixture
def remote(s3_bucket: str) -> tuple[Folder, Manifest, list[dict[str, Any]]]:
    """A run on an object store, and its rows."""
    folder = Folder(f"{s3_bucket}/{uuid.uuid4().hex}")
    manifest = finished_run(folder, (shard_of(0),))
    [file] = [output.data.path for output in manifest.outputs if output.data]
    return folder, manifest, by_id(pq.read_table(pa.BufferReader(folder.read(file))))


def test_iceberg_on_an_object_store(remote: tuple[Folder, Manifest, list[dict[str, Any]]], tmp_path: Path) -> None:
    folder, manifest, rows = remote
    with pytest.raises(JobError, match="object store cannot hold the SQLite catalogue"):
        publish_iceberg(folder, manifest)
    target = Target(f"sqlite:///{tmp_path}/catalog.db", "a.b")
    assert [publish_iceberg(folder, manifest, target).new for _ in range(2)] == [True, False]
    catalogue = load_catalog("hardset", uri=target.catalogue, **{"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"})
    assert by_id(catalogue.load_table("a.b").scan().to_arrow()) == rows
    catalogue.close()


DELTA_TWICE = """
import sys, deltalake
from hardset.pipeline.dataset.tables.delta import publish_delta
from hardset.pipeline.dataset.tables.publication import run_to_publish
from hardset.pipeline.storage.folder import Folder
folder = Folder(sys.argv[1])
news = [publish_delta(folder, run_to_publish(folder)).new for _ in range(2)]
table = deltalake.DeltaTable(folder.url, storage_options={"allow_http": "true"})
print(news, sorted(table.to_pyarrow_table()["row_id"].to_pylist()))
"""


def test_delta_on_an_object_store(remote: tuple[Folder, Manifest, list[dict[str, Any]]]) -> None:
    """In a process of its own: deltalake waits for the store with the lock held that the store's thread here needs."""
    folder, _, rows = remote
    line = [sys.executable, "-c", DELTA_TWICE, folder.url]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == f"{[True, False]} {[row['row_id'] for row in rows]}", done.stderr


def test_the_verb_says_what_it_did(disk: Folder, first: Manifest) -> None:
    line = ("publish", disk.url, "--iceberg", "--delta", "--json")
    done = hardset(*line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 files added, 0 removed") == 2
    told = last_json(done)
    assert (told["status"], told["run_id"], told["delta"]["version"]) == ("published", RUN, "0")
    again = hardset(*line)
    assert again.returncode == 0
    assert again.stdout.count(f"holds run {RUN[:8]} already") == 2
    assert last_json(again)["status"] == "nothing to do"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), "say what to publish as"), (("--delta", "--catalog", "a/b.c"), "--catalog goes with --iceberg")],
)
def test_arguments_that_make_no_sense(disk: Folder, first: Manifest, arguments: tuple[str, ...], told: str) -> None:
    done = hardset("publish", disk.url, *arguments)
    assert (done.returncode, told in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("flag", "module", "wants"), [("--iceberg", "pyiceberg.catalog", "iceberg"), ("--delta", "deltalake", "delta")]
)
def test_a_missing_library_is_named_with_its_extra(
    disk: Folder, first: Manifest, flag: str, module: str, wants: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = hardset("publish", disk.url, flag)
    assert done.returncode == 2
    assert f"pip install 'hardset[{wants}]'" in done.stderr


def test_runs_that_are_not_whole_are_not_published(disk: Folder) -> None:
    assert hardset("publish", disk.url, "--delta").returncode == 2
    shard = shard_of(0)
    receipts = [commit_shard(Ledger(disk, RUN), shard)]
    lost = Failure(index=1, key="k", attempts=3, error="x")
    Ledger(disk, RUN).write_manifest(manifest_of((shard,), receipts, failures=(lost,)))
    done = hardset("publish", disk.url, "--delta")
    assert (done.returncode, "lacks shards that failed" in done.stderr) == (1, True)
    assert not disk.exists("_delta_log/00000000000000000000.json")


def test_a_catalogue_out_of_reach_is_told_in_one_sentence(disk: Folder, first: Manifest, tmp_path: Path) -> None:
    done = hardset("publish", disk.url, "--iceberg", "--catalog", f"sqlite:///{tmp_path}/no/catalog.db/a.b")
    assert (done.returncode, "cannot be published to" in done.stderr) == (1, True)
    assert len(done.stderr.strip().splitlines()) == 1
