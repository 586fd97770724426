"""Memory that ran out under a worker: who says so, and which settings need less."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from hardset.schemas.job.job import Run

_NODE = re.compile(r"node \(IP: (\S+?),.*?\) was ([\d.]+ ?\w+) used / ([\d.]+ ?\w+) limit", re.DOTALL)
_CGROUP = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_COUNTERS = ("memory.events", "memory.oom_control")
"""Files of cgroup 2 and 1 that count, as `oom_kill`, processes killed because the group's memory ran out."""
_FIGURES = (("memory.current", "memory.max"), ("memory.usage_in_bytes", "memory.limit_in_bytes"))


def told_by_ray(text: str, run: Run) -> str | None:
    """Sentence for a worker that Ray's memory monitor ended; None where `text` tells of no such end."""
    found = _NODE.search(text)
    if found is None:
        return None
    node, used, limit = found.groups()
    return f"memory ran out on node {node} ({used} of {limit} in use), and Ray ended the worker; {remedy(run)}"


def told_by_kernel(host: str, run: Run) -> str:
    """Sentence for a worker on this machine that the kernel killed because its group's memory ran out."""
    figures = next((told for names in _FIGURES if (told := _figures(*names))), "its limit is reached")
    return f"memory ran out on node {host} ({figures}), and the kernel killed the worker; {remedy(run)}"


def remedy(run: Run) -> str:
    """Settings that need less memory when they are lowered, with their values; one that is lowest is not named."""
    named = {"run.actors": run.most_actors, "run.shards_per_actor": run.shards_per_actor, "run.batch": run.batch}
    settings = [f"{name} ({value})" for name, value in named.items() if value > 1]
    return f"lower {', '.join([*settings, 'output.shard_rows'])}, or give it more memory"


def kills() -> int:
    """Number of processes that were killed because the memory of this process's cgroup ran out; 0 where none tells."""
    for name in _COUNTERS:
        for line in of_group(name).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _groups() -> Iterator[Path]:
    """Folders of this process's memory group, of cgroup 2 and 1; then those of the root.

    With a namespace of cgroups, as containers have, the root is the process's own group. Without one, as under Slurm
    and systemd, its own lies below.
    """
    try:
        lines = [line.split(":", 2) for line in _OWN.read_text().splitlines()]
    except OSError:
        lines = []
    for _, controllers, path in lines:
        if controllers == "":
            yield _CGROUP / path.lstrip("/")
        elif "memory" in controllers.split(","):
            yield _CGROUP / "memory" / path.lstrip("/")
    yield from (_CGROUP, _CGROUP / "memory")


def _figures(used: str, limit: str) -> str | None:
    now, most = of_group(used).strip(), of_group(limit).strip()
    return f"limit {int(most) / 1024**3:.2f} GiB, {int(now) / 1024**3:.2f} in use now" if _number(now, most) else None


def _number(*texts: str) -> bool:
    return all(text.isdecimal() for text in texts)


def of_group(name: str) -> str:
    """Text of a file of the nearest group that has it; empty where none has."""
    for group in _groups():
        with contextlib.suppress(OSError):
            return (group / name).read_text()
    return ""
