"""What a Folder promises on every store: whole files, one winner, clear refusals."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hardset.pipeline.storage.folder import TEMPORARY, Folder, public_name
from hardset.pipeline.storage.objects import MemoryStore
from hardset.schemas.errors import JobError, RunError


def test_gives_back_what_was_written(folder: Folder) -> None:
    folder.write("a/b.bin", b"one")
    folder.write("a/b.bin", b"two")
    assert folder.read("a/b.bin") == b"two"
    assert folder.exists("a/b.bin")
    assert not folder.exists("a/c.bin")
    folder.delete("a/b.bin")
    folder.delete("a/b.bin")
    assert not folder.exists("a/b.bin")
    with pytest.raises(FileNotFoundError):
        folder.read("a/b.bin")


def test_an_empty_file_is_a_file(folder: Folder) -> None:
    folder.write("empty", b"")
    assert folder.create("other", b"")
    assert not folder.create("other", b"x")
    assert (folder.read("empty"), folder.read("other")) == (b"", b"")


def test_lists_files_by_prefix_and_folders_by_name(folder: Folder) -> None:
    assert folder.list() == folder.list("runs/") == folder.folders("runs") == []
    for path in ("runs/2/x.json", "runs/1/x.json", "runs/1/deep/y.json", "runs/12.json", "other"):
        folder.write(path, b"x")
    assert folder.list() == ["other", "runs/1/deep/y.json", "runs/1/x.json", "runs/12.json", "runs/2/x.json"]
    assert folder.list("runs/1/") == ["runs/1/deep/y.json", "runs/1/x.json"]
    assert folder.list("runs/1") == ["runs/1/deep/y.json", "runs/1/x.json", "runs/12.json"]
    assert folder.folders("runs") == ["1", "2"]
    assert folder.folders() == ["runs"]


def test_sizes_are_those_of_what_is_listed(folder: Folder) -> None:
    assert folder.sizes() == folder.sizes("data/") == {}
    for path, size in (("data/b", 3), ("data/a/c", 0), (f"data/{TEMPORARY}x", 5), ("other", 2)):
        folder.write(path, b"x" * size)
    assert folder.sizes() == {"data/a/c": 0, "data/b": 3, "other": 2}
    assert list(folder.sizes("data/").items()) == [("data/a/c", 0), ("data/b", 3)]


def test_leftovers_are_unfinished_files_of_some_age(folder: Folder) -> None:
    folder.write("data/b", b"x")
    folder.write(f"data/{TEMPORARY}x", b"12345")
    time.sleep(1.1)  # S3 tells whole seconds
    assert folder.leftovers(0.05) == {f"data/{TEMPORARY}x": 5}
    assert folder.leftovers(3600) == {}


def test_empty_folders_go_and_full_ones_stay(disk: Folder) -> None:
    disk.write("data/a/b/c", b"x")
    disk.write("data/d", b"x")
    disk.delete("data/a/b/c")
    disk.remove_empty("data")
    assert disk.list() == ["data/d"]
    assert disk.folders("data") == []


def test_a_folder_that_is_a_file_holds_nothing(disk: Folder) -> None:
    disk.write("file", b"x")
    folder = Folder(f"{disk.url}/file")
    assert folder.list() == folder.list("data/") == folder.folders() == []
    assert not folder.exists("a")
    folder.delete("a")
    with pytest.raises(FileNotFoundError):
        folder.read("a")
    with pytest.raises(JobError, match=r"output.path: .*(Not a directory|File exists)"):
        folder.check_writable()


def test_listings_see_what_another_client_wrote(url: str) -> None:
    reader = Folder(url)
    reader.write("a/1", b"")
    assert reader.list("a/") == ["a/1"]
    system, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    system.pipe_file(f"{root}/a/2", b"")
    assert reader.list("a/") == ["a/1", "a/2"]
    assert reader.exists("a/2")


def test_create_has_one_winner_among_threads(folder: Folder) -> None:
    for trial in range(5):
        barrier = threading.Barrier(16)

        def attempt(number: int, name: str = f"receipt-{trial}", start: threading.Barrier = barrier) -> bool:
            start.wait()
            return folder.create(name, b"%d" % number)

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(attempt, range(16)))
        assert won.count(True) == 1
        assert folder.read(f"receipt-{trial}") == b"%d" % won.index(True)


def _create_many(url: str, number: int, start: Any, wins: Any) -> None:
    folder = Folder(url)
    start.wait()
    wins.put((number, [i for i in range(20) if folder.create(f"r/{i}", b"%d" % number)]))


@pytest.mark.parametrize("store", ["local", "s3"])
def test_create_has_one_winner_among_processes(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = str(tmp_path) if store == "local" else request.getfixturevalue("s3_bucket") + "/processes"
    context = multiprocessing.get_context("spawn")
    start, wins = context.Barrier(4), context.Queue()
    children = [context.Process(target=_create_many, args=(url, n, start, wins), daemon=True) for n in range(4)]
    for child in children:
        child.start()
    won = dict(wins.get(timeout=60) for _ in children)
    for child in children:
        child.join()
    assert sorted(i for mine in won.values() for i in mine) == list(range(20))
    for number, mine in won.items():
        assert {Folder(url).read(f"r/{i}") for i in mine} <= {b"%d" % number}


def test_readers_never_see_a_part(folder: Folder) -> None:
    versions = [bytes([value]) * 200_000 for value in (1, 2)]
    folder.write("file", versions[0])
    stop, seen = threading.Event(), set()

    def write() -> None:
        while not stop.is_set():
            for version in versions:
                folder.write("file", version)

    writer = threading.Thread(target=write)
    writer.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        seen.add(folder.read("file"))
    stop.set()
    writer.join()
    assert seen <= set(versions)


WRITER = """
import sys
from hardset.pipeline.storage.folder import Folder
folder = Folder(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    folder.write("file", bytes([number % 2 + 1]) * 3_000_000)
    folder.create(f"created/{number}", bytes([number % 2 + 1]) * 1_000_000)
    number += 1
"""


def test_a_killed_writer_leaves_no_part(disk: Folder) -> None:
    for pause in (0.05, 0.11, 0.17):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, disk.url], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        for path in disk.list():
            content = disk.read(path)
            assert len(content) == (3_000_000 if path == "file" else 1_000_000)
            assert len(set(content)) == 1
    assert disk.list()


def test_leftovers_are_not_listed(disk: Folder) -> None:
    disk.write("a/b", b"")
    (Path(disk.url) / "a" / f"{TEMPORARY}0123").write_bytes(b"half")
    assert disk.list() == disk.list("a/") == ["a/b"]


def test_folders_pickle(folder: Folder) -> None:
    folder.write("a", b"1")
    assert pickle.loads(pickle.dumps(folder)).read("a") == b"1"


def test_read_many_keeps_the_order(folder: Folder) -> None:
    paths = [f"r/{i}" for i in range(40)]
    for path in paths:
        folder.write(path, path.encode())
    assert folder.read_many(paths[::-1]) == [path.encode() for path in paths[::-1]]
    with pytest.raises(FileNotFoundError):
        folder.read_many([*paths, "r/none"])


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
def test_paths_stay_inside(path: str, disk: Folder) -> None:
    with pytest.raises(RunError, match="not a path inside"):
        disk.read(path)


def test_a_file_mode_follows_the_umask(disk: Folder) -> None:
    mask = os.umask(0o027)
    try:
        disk.write("a", b"")
        disk.create("b", b"")
    finally:
        os.umask(mask)
    assert {(Path(disk.url) / name).stat().st_mode & 0o777 for name in "ab"} == {0o640}


def test_check_writable_leaves_nothing(url: str, tmp_path: Path) -> None:
    folder = Folder(url)
    folder.check_writable()
    assert folder.list() == []
    if url.startswith(str(tmp_path)):
        assert list(tmp_path.iterdir()) == []
        Path(url).mkdir()
        folder.check_writable()
        assert list(Path(url).iterdir()) == []


def test_check_writable_names_the_reason(tmp_path: Path, s3_bucket: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JobError, match=r"^output.path: .*/file/out cannot be written to: Not a directory; check"):
        Folder(str(tmp_path / "file" / "out")).check_writable()
    with pytest.raises(JobError, match=r"^output.path: s3://no-such-bucket/out .* bucket does not exist"):
        Folder("s3://no-such-bucket/out").check_writable()
    with pytest.raises(JobError, match=r"^output.path: s3://no-such-bucket/out cannot") as refusal:
        Folder("s3://user:secret@no-such-bucket/out?token=hidden").check_writable()
    assert "secret" not in str(refusal.value)
    assert "hidden" not in str(refusal.value)
    with pytest.raises(JobError, match=r"^output.path: /proc/hardset cannot be written to: [A-Z]"):
        Folder("/proc/hardset").check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_forbidden_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JobError, match="Permission denied"):
        Folder(str(tmp_path / "out")).check_writable()
    tmp_path.chmod(0o700)


def test_unknown_stores_are_refused() -> None:
    with pytest.raises(JobError, match=r"nowhere://x: cannot be opened: .*nowhere"):
        Folder("nowhere://x")


def test_a_store_that_ignores_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "create", lambda *_: True)
    with pytest.raises(JobError, match="If-None-Match"):
        Folder("memory://loose").check_writable()
    assert Folder("memory://loose").list() == []


def test_a_disk_without_hard_links_is_refused(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(RunError, match="no hard links"):
        disk.create("a", b"")
    assert _names(disk) == []


def _names(disk: Folder) -> list[str]:
    return [path.name for path in Path(disk.url).iterdir()]


def _with_little_space(act: Callable[[], None]) -> None:
    """Runs `act` while no file may grow past 100 kB: the kernel refuses the write itself."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        act()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("act", [Folder.write, Folder.create])
def test_a_refused_write_leaves_the_old_file_and_no_rest(disk: Folder, act: Callable[..., Any]) -> None:
    disk.write("old", b"old")
    with pytest.raises(RunError, match=r"cannot (write|create) new: File too large; free some space"):
        _with_little_space(lambda: act(disk, "new", bytes(1_000_000)))
    assert _names(disk) == ["old"]


def test_a_full_disk_is_one_sentence(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"out: cannot write a: No space left on device; free some space and start"):
        disk.write("a", b"1")
    assert disk.list() == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("out/a", "out/a"),
        ("s3://Bucket/key", "s3://Bucket/key"),
        ("s3://user:p@ss@host:9000/key?sig=secret#part", "s3://host:9000/key"),
        ("simplecache::s3://user:secret@bucket/key", "simplecache::s3://bucket/key"),
        ("zip://a::https://u:secret@host/b.zip?token=secret", "zip://a::https://host/b.zip"),
    ],
)
def test_public_names_hold_no_secrets(url: str, shown: str) -> None:
    assert public_name(url) == shown
