"""One run at a time per output: a lease in the dataset folder, renewed while its holder lives.

Leases are numbered files, `_hardset/lease/<number>.json`. A lease is taken by creating the next number conditionally,
so of several that find an old one abandoned one wins; the highest number counts. The number fences: whoever holds a
lower one may not put a record over another or remove a file, and of two manifests that of the higher number is newer.
Shards are safe without it: their receipts have one winner.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import ValidationError

from hardset.pipeline.storage.folder import Folder
from hardset.schemas.base import Spec
from hardset.schemas.errors import HeldError, RunError

LEASE_SECONDS = 30.0
"""Seconds that a lease lasts without renewal."""
WATCH_SECONDS = 1.0
"""Seconds between two looks of a waiting run whether the output is free."""
_HOME = "_hardset/lease"
Taken = TypeVar("Taken")


class StopFlag(Protocol):
    """Request to stop, as `threading.Event` is one."""

    def is_set(self) -> bool: ...


class Holder(Spec):
    """Holder of a lease."""

    run_id: str
    host: str
    machine: str
    """Boot and process namespace: whether another process can be looked up by its number."""
    pid: int
    process_start: str
    """Start of the process, which tells it from a later one with the same number."""
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
    """Fencing token: of all leases that this folder ever had, higher is later."""
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
        if newest_number(self.folder) != self.number or not _is_ours(self):
            self._lost.set()
            return
        renewed = self.holder.model_copy(update={"renewed": time.time()})
        self.folder.write(_path(self.number), _bytes(renewed))
        self._renewed = started

    def check(self) -> None:
        """Asks the store whether the output is still this run's alone, and renews the lease.

        A lease that ran out while the store could not be reached, and that nobody took, is held again. Raises
        HeldError where another run took it, RunError where the store does not answer.
        """
        if not self._lost.is_set():
            self.renew()
        if self._lost.is_set():
            raise HeldError(f"{self.folder.name}: another run has taken this output over; this one has stopped")

    def release(self) -> None:
        """Gives the lease back, so that the next run starts at once."""
        self._stop.set()
        if not self._lost.is_set() and newest_number(self.folder) == self.number:
            self.folder.write(_path(self.number), _bytes(self.holder.model_copy(update={"released": True})))
        self._lost.set()

    def beat(self) -> None:
        """Renews every third of the lease until it is released or lost. Runs in a daemon thread."""
        while not self._lost.is_set() and not self._stop.wait(self.seconds / 3):
            with suppress(RunError):  # the store may answer again before the lease runs out
                self.renew()


@contextmanager
def hold_lease(
    folder: Folder, run_id: str, *, above: int = 0, turn: Turn | None = None, seconds: float = LEASE_SECONDS
) -> Iterator[Lease]:
    """Holds the lease of a dataset folder, once it is free; see `Turn` for how long that is waited for.

    `above`: the highest number that any record tells of, for a folder that has lost its leases. Raises HeldError, which
    says who holds it since when, where another run does. One whose holder is a dead process of this machine is taken
    over at once, any other after `seconds` without renewal.
    """
    lease = (turn or Turn()).take(folder, lambda: acquire(folder, run_id, above=above, seconds=seconds), seconds)
    thread = threading.Thread(target=lease.beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease._stop.set()
        thread.join(timeout=seconds)
        with suppress(RunError):  # it runs out by itself
            lease.release()


@dataclass(frozen=True)
class Turn:
    """Turn of a run that waits for an output that another holds.

    A holder on another machine may have died a moment ago: it is watched for the time in which it must renew its lease,
    and where it does not, until the lease runs out. One that lives is waited for only where `wait` says so.
    """

    wait: bool = False
    stop: StopFlag | None = None
    """Ends the waiting."""

    def take(self, folder: Folder, attempt: Callable[[], Taken], seconds: float = LEASE_SECONDS) -> Taken:
        """Result of `attempt` once it raises no HeldError. Raises HeldError where another run keeps the output."""
        watched: tuple[str, float] | None = None
        began = time.monotonic()
        while True:
            try:
                return attempt()
            except HeldError:
                if self.stop is not None and self.stop.is_set():
                    raise
                holder = current_holder(folder, seconds=seconds)
                if holder is None:
                    continue
                watched = watched or (holder.token, holder.renewed)
                renewed = watched != (holder.token, holder.renewed)
                if not self.wait and (renewed or _lives_here(holder) or time.monotonic() - began > 2 * seconds):
                    raise
            time.sleep(min(WATCH_SECONDS, seconds / 10))


def acquire(folder: Folder, run_id: str, *, above: int = 0, seconds: float = LEASE_SECONDS) -> Lease:
    """Takes the lease without waiting and without renewing it; see `hold_lease`."""
    while True:
        newest = max(newest_number(folder), above)
        holder = _holder(folder, newest)
        if holder is not None and _holds(holder, seconds):
            raise HeldError(_refusal(folder, holder))
        lease = Lease(folder, newest + 1, _this_process(run_id), seconds)
        if not folder.create(_path(lease.number), _bytes(lease.holder)) and not _is_ours(lease):
            continue
        if newest_number(folder) == lease.number:
            _forget_before(folder, lease.number)
            return lease
        folder.delete(_path(lease.number))


def refuse_held(folder: Folder, *, seconds: float = LEASE_SECONDS) -> None:
    """Raises HeldError where a run holds the folder now."""
    holder = current_holder(folder, seconds=seconds)
    if holder is not None:
        raise HeldError(_refusal(folder, holder))


def current_holder(folder: Folder, *, seconds: float = LEASE_SECONDS) -> Holder | None:
    """Holder of the folder's lease now; None where nobody holds it."""
    holder = _holder(folder, newest_number(folder))
    return holder if holder is not None and _holds(holder, seconds) else None


def _holds(holder: Holder, seconds: float) -> bool:
    if holder.released or (_is_of_here(holder) and not _lives_here(holder)):
        return False
    return time.time() - holder.renewed < seconds


def _is_of_here(holder: Holder) -> bool:
    return bool(holder.machine) and holder.machine == _machine()


def _lives_here(holder: Holder) -> bool:
    """Whether the holder is a process of this machine that lives."""
    return _is_of_here(holder) and _process_start(holder.pid) == holder.process_start


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
    """Boot and process namespace; empty without /proc, where only time tells whether a holder lives."""
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


def newest_number(folder: Folder) -> int:
    """Number of the newest lease, held or not; 0 where there never was one."""
    names = [path.rpartition("/")[2].removesuffix(".json") for path in folder.list(f"{_HOME}/")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _holder(folder: Folder, number: int) -> Holder | None:
    """Holder of a lease by number; None where there is none, or an unknown version wrote it."""
    try:
        return Holder.model_validate_json(folder.read(_path(number)))
    except (FileNotFoundError, ValidationError):
        return None


def _is_ours(lease: Lease) -> bool:
    """Whether the number is this holder's own: a create that was refused may have arrived all the same, where a client
    sent it twice; and a number is given twice where somebody removed the leases."""
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
