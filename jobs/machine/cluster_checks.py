"""Ray: on this machine, or a cluster whose nodes are held against the driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hardset.jobs.machine.machine_checks import memory_check
from hardset.jobs.terminal.console import count
from hardset.pipeline.cluster.connection import connected
from hardset.pipeline.cluster.nodes import NodeFacts, facts_of_nodes
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.schemas.base import Spec
from hardset.schemas.errors import UserError
from hardset.schemas.job.job import Run
from hardset.schemas.job.places import places
from hardset.schemas.records.examination import Check


def local_checks(run: Run | None) -> Iterator[Check]:
    """Whether Ray starts here and runs a process, and whether memory holds the job's actors."""
    started = time.monotonic()
    try:
        with connected(_without_gpus(run or Run()), ClusterPlace()):
            (found,) = facts_of_nodes(())
    except UserError as error:
        yield Check(name="ray", state="failed", told=str(error))
        yield memory_check()
        return
    if isinstance(found, str):
        yield Check(name="ray", state="failed", told=f"starts, and runs no process: {found}")
        yield memory_check()
        return
    told = f"starts on this machine and runs a process within {time.monotonic() - started:.0f} s"
    yield Check(name="ray", state="ok", told=f"{found.versions['ray']}, {told}")
    yield memory_check(run.most_actors if run else 0, found.resident)


def cluster_checks(address: str, job: Spec | None, run: Run | None) -> Iterator[Check]:
    """The cluster at an address, and a line for each of its nodes."""
    paths = (
        [] if job is None else [place for _, place in places(job.model_dump(mode="json")) if Path(place).is_absolute()]
    )
    try:
        with connected(run or Run(), ClusterPlace(address)):
            found = facts_of_nodes(paths)
    except UserError as error:
        yield Check(name="ray", state="failed", told=str(error))
        return
    yield Check(name="ray", state="ok", told=f"a cluster of {count(len(found), 'node')} answers at {address}")
    here = versions()
    for node in found:
        yield node_check(node, here)


def node_check(node: NodeFacts | str, here: Mapping[str, str]) -> Check:
    """One node, whose versions are held against those of the driver."""
    if isinstance(node, str):
        remedy = (
            "install hardset and the libraries of this environment there, or use hardset submit, which sends the code"
        )
        return Check(name="node", state="failed", told=node, remedy=remedy)
    name = f"node {node.host}"
    others = [
        f"{library} {there} (here {here[library]})"
        for library, there in node.versions.items()
        if library in here and here[library] != there and library != "platform"
    ]
    told = f"Python {node.versions['python']}, {node.interpreter}; {', '.join(node.devices) or 'no GPU'}"
    if node.missing:
        lost = ", ".join(node.missing)
        remedy = "use URLs, or mount them at the same path on every node"
        return Check(name=name, state="failed", told=f"{told}; has no {lost}", remedy=remedy)
    if _series(node.versions["python"]) != _series(here["python"]):
        return Check(
            name=name, state="failed", told=f"{told}; here {here['python']}", remedy="use one Python everywhere"
        )
    if others:
        remedy = "install the same versions everywhere: rows are the same bytes on one set of versions only"
        return Check(name=name, state="warning", told=f"{told}; {', '.join(others)}", remedy=remedy)
    return Check(name=name, state="ok", told=f"{told}; the same libraries as here")


def _series(version: str) -> list[str]:
    return version.split(".")[:2]


def _without_gpus(run: Run) -> Run:
    """The same without GPUs, whose lack is told by another check, and with an actor alone."""
    return run.model_copy(update={"gpus_per_actor": 0, "actors": 1})
