"""What each node of a Ray cluster has: interpreter, libraries, devices, and the places that a job names."""

from __future__ import annotations

import platform
import resource
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hardset.pipeline.cluster.machine import Room, shared_memory
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.schemas.errors import one_line

_SECONDS = 90.0
"""Time that a node has to answer: it starts a process that loads torch, from network storage at worst."""


@dataclass(frozen=True)
class NodeFacts:
    """What a process on one node sees."""

    host: str
    interpreter: str
    """Path of the Python that runs there."""
    versions: dict[str, str]
    """Versions of Python, platform and libraries, as of every run's records."""
    missing: tuple[str, ...]
    """Those of the asked paths that are not there."""
    devices: tuple[str, ...]
    """Names of the GPUs that torch can use there."""
    shared: Room | None
    resident: int
    """Bytes of memory that a process there holds which has loaded torch and nothing else."""


def facts_here(paths: Sequence[str]) -> NodeFacts:
    """Facts of the machine that this process runs on. `paths`: absolute paths that are looked for."""
    import torch  # noqa: PLC0415 - what it takes is part of the facts

    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    unit = 1 if sys.platform == "darwin" else 1024
    return NodeFacts(
        host=socket.gethostname(),
        interpreter=sys.executable,
        versions=versions() | {"python": platform.python_version()},
        missing=tuple(path for path in paths if not Path(path).exists()),
        devices=tuple(torch.cuda.get_device_name(number) for number in gpus),
        shared=shared_memory(),
        resident=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    )


def facts_of_nodes(paths: Sequence[str], seconds: float = _SECONDS) -> list[NodeFacts | str]:
    """Facts of each living node of the cluster that this process is connected to; a sentence for one that gives none.

    `paths`: absolute paths that are looked for.
    """
    nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeID"]))
    ask = ray.remote(num_cpus=0, max_retries=0)(facts_here)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(list(paths))
        for node in nodes
    ]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=seconds)
    found: list[NodeFacts | str] = []
    for node, answer in zip(nodes, asked, strict=True):
        host = node["NodeManagerHostname"]
        if answer not in ready:
            ray.cancel(answer, force=True)
            found.append(f"{host}: started no process within {seconds:g} s")
            continue
        try:
            found.append(ray.get(answer))
        except Exception as error:  # Ray raises whatever the process there raised
            found.append(f"{host}: {_why(error)}")
    return found


def _why(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    text = str(error)
    if isinstance(cause, ModuleNotFoundError) or "No module named" in text:
        name = text.rpartition("No module named ")[2].splitlines()[0].strip("'\" ")
        return f"its Python has no module {name}"
    return f"{type(cause).__name__}: {one_line(cause)}"
