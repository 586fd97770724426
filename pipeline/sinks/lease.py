"""One run at a time per output: a lease in the dataset folder, renewed while its holder lives.

Leases are numbered files, `_hardset/lease/<number>.json`. A lease is taken by creating the next number conditionally,
so of several that find an old one abandoned one wins; the highest number counts. Commits are safe without it: it only
keeps two runs from doing the same work.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from pipeline.storage import Folder
from schemas.base import Spec
from schemas.errors import RunError

LEASE_SECONDS = 30.0
"""How long a lease lasts without renewal."""
_HOME = "_hardset/lease"


class Holder(Spec):
    """Who holds a lease."""

    run_id: str
    host: str
    machine: str
    """Boot and process namespace: whether another process can be looked up by its number."""
    pid: int
    process_start: str
    """Tells the process from a later one with the same number."""
    token: str
    since: str
    """UTC, ISO 8601."""
    renewed: float
    """Unix time."""
    released: bool = False


@dataclass
class Lease:
    """A lease that is held. `held()` turns False once another run has taken it or it could not be renewed in time."""

    folder: Folder
    number: int
    holder: Holder
    seconds: float = LEASE_SECONDS
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _renewed: float = field(default_factory=time.monotonic)

    def held(self) -> bool:
        """Whether the output is still this run's alone."""
        return not self._lost.is_set() and time.monotonic() - self._renewed < self.seconds

    def renew(self) -> None:
        """Renews the lease, or notices that another run holds it."""
        started = time.monotonic()
        if _newest(self.folder) != self.number:
            self._lost.set()
            return
        renewed = self.holder.model_copy(update={"renewed": time.time()})
        self.folder.write(_path(self.number), _bytes(renewed))
        self._renewed = started

    def release(self) -> None:
        """Gives the lease back, so that the next run starts at once."""
        self._stop.set()
        if not self._lost.is_set() and _newest(self.folder) == self.number:
            self.folder.write(_path(self.number), _bytes(self.holder.model_copy(update={"released": True})))
        self._lost.set()

    def beat(self) -> None:
        """Renews every third of the lease until it is released or lost. Runs in a daemon thread."""
        while not self._lost.is_set() and not self._stop.wait(self.seconds / 3):
            with suppress(RunError):  # the store may answer again before the lease runs out
                self.renew()


@contextmanager
def hold_lease(folder: Folder, run_id: str, *, seconds: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Holds the lease of a dataset folder.

    Raises RunError, which says who holds it since when, where another run does. One whose holder is a dead process of
    this machine is taken over at once, any other after `seconds` without renewal.
    """
    lease = acquire(folder, run_id, seconds=seconds)
    thread = threading.Thread(target=lease.beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease._stop.set()
        thread.join(timeout=seconds)
        with suppress(RunError):  # it runs out by itself
            lease.release()


def acquire(folder: Folder, run_id: str, *, seconds: float = LEASE_SECONDS) -> Lease:
    """Takes the lease without renewing it; see `hold_lease`."""
    while True:
        newest = _newest(folder)
        holder = _holder(folder, newest)
        if holder is not None and _holds(holder, seconds):
            raise RunError(_refusal(folder, holder))
        lease = Lease(folder, newest + 1, _this_process(run_id), seconds)
        if not folder.create(_path(lease.number), _bytes(lease.holder)) and not _is_ours(lease):
            continue
        if _newest(folder) == lease.number:
            _forget_before(folder, lease.number)
            return lease
        folder.delete(_path(lease.number))


def current_holder(folder: Folder, *, seconds: float = LEASE_SECONDS) -> Holder | None:
    """Who holds the folder now; None where nobody does."""
    holder = _holder(folder, _newest(folder))
    return holder if holder is not None and _holds(holder, seconds) else None


def _holds(holder: Holder, seconds: float) -> bool:
    if holder.released:
        return False
    if holder.machine and holder.machine == _machine() and _process_start(holder.pid) != holder.process_start:
        return False
    return time.time() - holder.renewed < seconds


def _refusal(folder: Folder, holder: Holder) -> str:
    age = max(0.0, time.time() - holder.renewed)
    return (
        f"{folder.name}: run {holder.run_id} holds this output since {holder.since} (process {holder.pid} on "
        f"{holder.host}, last heard of {age:.0f} s ago); wait for it, stop it, or choose another output.path"
    )


def _this_process(run_id: str) -> Holder:
    return Holder(
        run_id=run_id,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        process_start=_process_start(os.getpid()) or "",
        token=uuid.uuid4().hex,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        renewed=time.time(),
    )


def _machine() -> str:
    """Empty where there is no /proc: then only time tells whether a holder lives."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """Clock tick at which the process started; None where it is dead (a zombie is)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _newest(folder: Folder) -> int:
    """The highest number; 0 where there never was a lease."""
    names = [path.rpartition("/")[2].removesuffix(".json") for path in folder.list(f"{_HOME}/")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _holder(folder: Folder, number: int) -> Holder | None:
    """None where there is no such lease, or one that an unknown version wrote."""
    try:
        return Holder.model_validate_json(folder.read(_path(number)))
    except (FileNotFoundError, ValidationError):
        return None


def _is_ours(lease: Lease) -> bool:
    """Whether a create that a store refused had arrived all the same: a client may have sent it twice."""
    winner = _holder(lease.folder, lease.number)
    return winner is not None and winner.token == lease.holder.token


def _forget_before(folder: Folder, number: int) -> None:
    for path in folder.list(f"{_HOME}/"):
        if path < _path(number):
            with suppress(RunError):
                folder.delete(path)


def _path(number: int) -> str:
    return f"{_HOME}/{number:08d}.json"


def _bytes(holder: Holder) -> bytes:
    return holder.model_dump_json().encode() + b"\n"
