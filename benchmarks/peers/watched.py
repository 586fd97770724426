"""A command with the CPU time of all that it starts, which tells its work also where the machine is busy."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.2
"""Between two looks at the processes; what one does in its last moment is not seen."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Watched:
    """What became of a command."""

    code: int
    error: str
    """The end of what it wrote to stderr."""
    seconds: float
    """By the clock, from its start to its end."""
    cpu_seconds: float
    """Of all its processes."""


def watched(line: Sequence[str], environment: Mapping[str, str]) -> Watched:
    """Runs a command to its end and watches the processes that it starts."""
    over, spent = threading.Event(), dict[int, float]()
    began = time.perf_counter()
    child = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    watcher = threading.Thread(target=_watch, args=(child.pid, spent, over))
    watcher.start()
    _, error = child.communicate()
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    return Watched(child.returncode, error[-2000:], seconds, sum(spent.values()))


def _watch(root: int, spent: dict[int, float], over: threading.Event) -> None:
    """Notes the CPU seconds of a process and of all below it until `over`; what was below it once, stays."""
    family = {root}
    while True:
        table = dict(_processes())
        grown = True
        while grown:
            found = {pid for pid, (parent, _) in table.items() if parent in family} - family
            grown = bool(found)
            family |= found
        for pid in family & table.keys():
            spent[pid] = max(spent.get(pid, 0.0), table[pid][1])
        if over.wait(LOOK_SECONDS):
            return


def _processes() -> list[tuple[int, tuple[int, float]]]:
    """Every process with its parent and its CPU seconds so far."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # gone
                continue
            found.append((int(entry.name), (int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS)))
    return found
