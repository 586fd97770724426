"""Processes of this machine, by their descent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

PATIENCE = 120.0
"""Seconds until a condition that must come true counts as failed, on a machine with other work to do."""


def eventually(condition: Callable[[], object], what: str, *, patience: float = PATIENCE) -> None:
    """Waits until `condition` holds; fails, saying `what` did not happen."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def descendants(ancestors: Iterable[int]) -> list[int]:
    """Process ids of all descendants of some processes."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], list(ancestors)
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def named(name: str, processes: Iterable[int]) -> list[int]:
    """Process ids of those in whose command or title a name appears."""
    found = []
    for process in processes:
        with suppress(OSError):
            if name.encode() in Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]:
                found.append(process)
    return sorted(found)


def shard_actors(ancestors: Iterable[int]) -> list[int]:
    """Process ids of the actors that make shards below drivers or raylets."""
    return named("ShardActor", descendants(ancestors))


def send(process: int, number: signal.Signals) -> bool:
    """Sends a signal; False where the process is gone."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True
