"""Holders of leases: what a lease says of the process that took it, and what one look at it tells.

Clocks of other machines are never believed: of a process of this machine the system is asked, and its renewals are
timed by the clock that all processes of a machine share. Of any other holder one look tells nothing; it is watched
(`pipeline.dataset.records.turns`).
"""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from hardset.pipeline.storage.folder import Folder
from hardset.schemas.base import Spec

LEASES = "_hardset/lease"
LEASE_SECONDS = 30.0
"""Seconds that a lease lasts without renewal."""
_NAME = re.compile(rf"{LEASES}/([0-9]{{8,18}})\.json")
Told = Literal["free", "held", "unknown"]


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
    """UTC, ISO 8601, by the clock of its host."""
    renewed: float
    """Unix time by the clock of its host. Others look only whether it changes."""
    beat: float = 0.0
    """Seconds on the monotonic clock that all processes of its machine share, at the last renewal; 0 where the version
    of hardset did not record it."""
    released: bool = False

    def renewal(self) -> Holder:
        """This holder, heard of now."""
        return self.model_copy(update={"renewed": time.time(), "beat": time.monotonic()})

    def content(self) -> bytes:
        """The lease file."""
        return self.model_dump_json().encode() + b"\n"


@dataclass(frozen=True)
class Sign:
    """The newest lease of a folder at one look; number 0 where there is none."""

    number: int
    content: bytes = b""
    holder: Holder | None = None
    """None where the file holds no lease that this version can read."""

    @property
    def garbage(self) -> bool:
        """Whether the file holds no lease that can be read."""
        return self.number > 0 and self.holder is None

    def told(self, seconds: float = LEASE_SECONDS) -> Told:
        """Whether somebody holds the folder, as far as one look tells. `seconds`: that a lease lasts."""
        holder = self.holder
        if self.number == 0 or (holder is not None and holder.released):
            return "free"
        if holder is None or not _is_of_here(holder):
            return "unknown"
        if process_start(holder.pid) != holder.process_start:
            return "free"
        age = heard_s_ago(holder)
        return "held" if age is not None and age < seconds else "unknown"


def read_sign(folder: Folder) -> Sign:
    """The newest lease of a folder, held or not."""
    while number := newest_number(folder):
        try:
            content = folder.read(lease_path(number))
        except FileNotFoundError:  # replaced by a newer one meanwhile, or removed
            continue
        return Sign(number, content, parse_holder(content))
    return Sign(0)


def parse_holder(content: bytes) -> Holder | None:
    """Holder that a lease file tells of; None where it cannot be read."""
    try:
        return Holder.model_validate_json(content)
    except ValidationError:
        return None


def newest_number(folder: Folder) -> int:
    """Number of the newest lease, held or not; 0 where there never was one."""
    return max(lease_numbers(folder), default=0)


def lease_numbers(folder: Folder) -> list[int]:
    """Numbers of the leases that are there."""
    return [int(name[1]) for path in folder.list(f"{LEASES}/") if (name := _NAME.fullmatch(path))]


def lease_path(number: int) -> str:
    """Path of a lease in its folder."""
    return f"{LEASES}/{number:08d}.json"


def heard_s_ago(holder: Holder) -> float | None:
    """Seconds since a holder on this machine renewed its lease; None for one elsewhere, or if no clock tells."""
    age = time.monotonic() - holder.beat
    return age if _is_of_here(holder) and holder.beat > 0 and age >= 0 else None


def this_process(run_id: str) -> Holder:
    """This process as a holder."""
    return Holder(
        run_id=run_id,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        process_start=process_start(os.getpid()) or "",
        token=uuid.uuid4().hex,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        renewed=time.time(),
        beat=time.monotonic(),
    )


def process_start(pid: int) -> str | None:
    """Clock tick at which the process started; None where it is dead (a zombie is)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _is_of_here(holder: Holder) -> bool:
    return bool(holder.machine) and holder.machine == _machine()


def _machine() -> str:
    """Boot and process namespace; empty without /proc, where only watching tells whether a holder lives."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""
