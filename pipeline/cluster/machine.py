"""Cores, memory and shared memory of this machine that a process may use, as its cgroup has it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hardset.pipeline.cluster.memory import of_group

SHARED = Path("/dev/shm")
_MEMINFO = Path("/proc/meminfo")
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


@dataclass(frozen=True)
class Room:
    """Bytes of some memory."""

    free: int
    whole: int


def cores() -> float:
    """Cores that this process may keep busy: by affinity, and by the quota of its cgroup."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota, _, period = of_group("cpu.max").strip().partition(" ")
    if not quota.isdecimal():
        quota, period = of_group("cpu.cfs_quota_us").strip(), of_group("cpu.cfs_period_us").strip()
    if quota.isdecimal() and period.isdecimal() and int(period):
        found = min(found, int(quota) / int(period))
    return found


def memory() -> Room | None:
    """Memory of the machine, or of this process's cgroup where that has less; None where the system does not tell.

    Cached files that the kernel gives up when memory is short count as free.
    """
    room = _of_machine()
    for limit, used in _LIMITS:
        most, now = of_group(limit).strip(), of_group(used).strip()
        if most.isdecimal() and now.isdecimal() and (room is None or int(most) < room.whole):
            free = max(0, int(most) - int(now) + _given_up())
            return Room(free if room is None else min(free, room.free), int(most))
    return room


def shared_memory() -> Room | None:
    """Shared memory, which Ray keeps its objects in; None where the system has no such place."""
    with suppress(OSError):
        usage = shutil.disk_usage(SHARED)
        return Room(usage.free, usage.total)
    return None


def _of_machine() -> Room | None:
    with suppress(OSError, ValueError, IndexError, KeyError):
        lines = (line.split() for line in _MEMINFO.read_text().splitlines())
        kib = {line[0]: int(line[1]) for line in lines}
        return Room(kib["MemAvailable:"] * 1024, kib["MemTotal:"] * 1024)
    with suppress(OSError, ValueError):
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return Room(pages * size, pages * size)
    return None


def _given_up() -> int:
    """Bytes of cached files that nobody has used of late."""
    for line in of_group("memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdecimal():
            return int(value)
    return 0
