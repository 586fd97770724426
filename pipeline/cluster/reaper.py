"""A small process that ends what a run started, and removes its folder, once the run's own process is gone.

Ray's processes follow their driver's death in their own time: agents were seen for more than 30 s after SIGKILL (Ray
2.60), and session folders stay for ever. This file runs as a script, too, and so imports the standard library alone.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOOK_SECONDS = 1.0
"""Between two looks at what the driver has started."""
_GRACE_SECONDS = 2.0
"""What processes get to end by themselves after the driver's death."""

LAST_WORDS, _LINES = "stderr.log", 20
"""File of what libraries print to the descriptor of stderr, and the number of its last lines that are told."""

Started = dict[int, str]
"""Processes by id, with the moment each started, which tells a process from a later one of the same id."""


@contextmanager
def watching(folder: Path) -> Iterator[None]:
    """Watches over this process while the block runs; its death by any signal ends its descendants and the folder."""
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder)]
    # A session of its own: Ctrl-C in the terminal is for the driver.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    assert watcher.stdin is not None
    try:
        yield
    finally:
        with suppress(OSError):
            watcher.stdin.write(b"done")
            watcher.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            watcher.wait(_GRACE_SECONDS)


def sweep(base: Path, prefix: str) -> None:
    """Removes folders `<prefix><process id>-*` of this user whose process is gone: no watcher outlived it either."""
    for folder in base.glob(f"{prefix}*"):
        number = folder.name.removeprefix(prefix).partition("-")[0]
        with suppress(OSError, ValueError):
            if folder.lstat().st_uid == os.getuid() and not folder.is_symlink() and not _alive(int(number)):
                shutil.rmtree(folder, ignore_errors=True)


def watch(driver: int, folder: str) -> None:
    """Notes the descendants of `driver` until the pipe on stdin ends; unless it said `done`, ends them."""
    own, seen = os.getpid(), Started()
    said = b""
    while True:
        seen |= {pid: start for pid, start in descendants(driver).items() if pid != own}
        ready, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if not ready:
            continue
        data = os.read(0, 64)
        if not data:
            break
        said += data
    if said != b"done":
        tell(Path(folder))
        end(seen)
        shutil.rmtree(folder, ignore_errors=True)


def tell(folder: Path) -> None:
    """Says that the driver has died, with the last lines that libraries printed."""
    lines = []
    with suppress(OSError):
        lines = (folder / LAST_WORDS).read_text(errors="replace").splitlines()[-_LINES:]
    with suppress(OSError):
        text = "hardset: this run's process has died; start the same command again to go on\n"
        os.write(2, "".join([*(f"{line}\n" for line in lines), text]).encode())


def end(started: Started) -> None:
    """Ends processes, and what they have started: those that are still there after a grace period, by SIGKILL."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while _left(started) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in _left(started):
        for child in descendants(pid):
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _left(started: Started) -> list[int]:
    return [pid for pid, start in started.items() if (_stat(pid) or ("", ""))[1] == start]


def descendants(pid: int) -> Started:
    """Processes that `pid` has started, and theirs; none where the system has no /proc."""
    table = {int(name): told for name in _processes() if (told := _stat(int(name))) is not None}
    children: dict[str, list[int]] = {}
    for child, (parent, _) in table.items():
        children.setdefault(parent, []).append(child)
    found, waiting = Started(), [pid]
    while waiting:
        for child in children.get(str(waiting.pop()), ()):
            found[child] = table[child][1]
            waiting.append(child)
    return found


def _processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []


def _stat(pid: int) -> tuple[str, str] | None:
    """Parent and start time of a process, as /proc tells them; None where it is gone, or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] == "Z" else (fields[1], fields[19])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
