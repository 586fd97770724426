"""Ray inside this machine: whom it listens to, who may read its files, and what is left when its driver is gone."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardset.pipeline.cluster import embedded, reaper
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Run

DRIVER = """
import json, os, sys, time
from pathlib import Path
import ray
from hardset.pipeline.cluster.connection import connected
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.reaper import descendants
from hardset.schemas.job.job import Run

with connected(Run(actors=1), ClusterPlace()):
    @ray.remote
    class Actor:
        def home(self):
            return os.getpid()

    actor = Actor.remote()
    ray.get(actor.home.remote())
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    print(json.dumps({"pids": [os.getpid(), *descendants(os.getpid())], "home": str(session.parents[1])}), flush=True)
    if sys.argv[1] == "wait":
        time.sleep(120)
"""


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A short folder for temporary files, as sockets want it, and a home folder beside it."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(mode: str, base: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), mode],
        env=environment | {"TMPDIR": str(base), "HOME": str(base / "home")} | variables,
        stdout=subprocess.PIPE,
        text=True,
    )


def told(driver: subprocess.Popen[str]) -> dict[str, object]:
    assert driver.stdout is not None
    found: dict[str, object] = json.loads(driver.stdout.readline())
    return found


def listening(pids: set[int]) -> set[str]:
    """Addresses that processes listen on over TCP, as the kernel writes them."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_listens_on_loopback_alone_and_nothing_outlives_a_killed_driver(base: Path) -> None:
    (base / "home").mkdir()
    driver = start("wait", base)
    try:
        found = told(driver)
        pids = set(map(int, found["pids"]))  # type: ignore[call-overload]
        home = Path(str(found["home"]))
        addresses = listening(pids)
        assert addresses and addresses <= LOOPBACK
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        token = base / "home" / ".ray" / "auth_token"
        assert (stat.S_IMODE(token.stat().st_mode), stat.S_IMODE(token.parent.stat().st_mode)) == (0o600, 0o700)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    deadline = time.monotonic() + 30  # on a busy machine; a few seconds on a quiet one
    while time.monotonic() < deadline and (home.exists() or any(map(running, pids))):
        time.sleep(0.2)
    assert [pid for pid in pids if running(pid)] == []
    assert not home.exists()


def running(pid: int) -> bool:
    return reaper._stat(pid) is not None


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/", "/nowhere"])
def test_it_starts_without_a_home_to_write_to_and_leaves_no_folder(base: Path, home: str | None) -> None:
    driver = start("end", base, HOME=home or "")
    found = told(driver)
    assert driver.wait(60) == 0
    assert not Path(str(found["home"])).exists()


def test_folders_of_drivers_that_are_gone_are_swept_and_no_others(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = [f"hardset-ray-{gone.pid}-a", f"hardset-ray-{os.getpid()}-b", "hardset-ray-x-c", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / f"hardset-ray-{gone.pid}-link").symlink_to(tmp_path / "other")
    reaper.sweep(tmp_path, "hardset-ray-")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*names[1:], f"hardset-ray-{gone.pid}-link"])


def test_a_folder_that_sockets_do_not_fit_in_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(deep))
    place = embedded._private_folder()
    try:
        assert place.parent == Path("/tmp")
    finally:
        place.rmdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match=r"no folder for Ray's sockets and logs: .*; set TMPDIR"):
        embedded._private_folder()


def test_a_token_is_whole_for_whoever_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that start at once, both read the token of the faster one; nobody reads an empty file."""
    token = tmp_path / "auth_token"
    own = Path.hardlink_to

    def late(place: Path, target: str) -> None:
        assert not place.exists()  # not even in part, while it is written
        place.write_text("theirs")
        own(place, target)

    monkeypatch.setattr(Path, "hardlink_to", late)
    embedded._create_whole(token, "mine")
    assert (token.read_text(), [path.name for path in tmp_path.iterdir()]) == ("theirs", ["auth_token"])
    monkeypatch.undo()
    embedded._create_whole(tmp_path / "other", "mine")
    assert ((tmp_path / "other").read_text(), stat.S_IMODE((tmp_path / "other").stat().st_mode)) == ("mine", 0o600)


def test_a_port_that_is_taken_is_named_before_ray_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(JobError, match=rf"--metrics-port: another process of this machine listens at {port}"),
            embedded.embedded(Run(), port),
        ):
            raise AssertionError("Ray started")
    assert not embedded._taken(port)


def test_places_without_room_are_passed_over_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes a folder and no file; where no place is left, each is named with its reason."""

    def full(base: str) -> Path:
        if base == "/dev/shm":
            return Path("found")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embedded, "_with_room", full)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    assert embedded._private_folder() == Path("found")
    monkeypatch.setattr(os, "access", lambda place, _: place != "/dev/shm")
    with pytest.raises(RunError, match=r"/tmp: No space left on device; /dev/shm cannot be written to; set TMPDIR"):
        embedded._private_folder()
