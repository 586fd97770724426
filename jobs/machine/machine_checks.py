"""Python, libraries, devices and memory of this machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from hardset.jobs.machine.needs import extras, unmet, unmet_python
from hardset.jobs.terminal.console import count
from hardset.pipeline.cluster.machine import cores, memory, shared_memory
from hardset.schemas.errors import one_line
from hardset.schemas.job.extras import EXTRAS
from hardset.schemas.job.job import Run
from hardset.schemas.limits import GIB, MIB
from hardset.schemas.records.examination import Check

STORE_BYTES = 200 * MIB
"""Shared memory that a Ray on this machine asks for."""
TIGHT_BYTES = GIB
"""Free memory below which a run on this machine hardly starts: Ray and one process with torch take as much."""


def python_check() -> Check:
    """The interpreter."""
    told = f"{platform.python_version()}, {sys.executable}"
    wanted = unmet_python()
    if wanted is None:
        return Check(name="python", state="ok", told=told)
    return Check(name="python", state="failed", told=told, remedy=f"use a Python {wanted}")


def libraries_check() -> Check:
    """The libraries that hardset asks for in any case."""
    try:
        own = version("hardset")
    except PackageNotFoundError:
        told = "hardset runs from its files and is not installed, so that nothing tells what it asks for"
        return Check(name="libraries", state="warning", told=told, remedy="pip install it, such as pip install -e .")
    wrong = unmet()
    if wrong:
        wanted = " ".join(f"'{one.wanted}'" for one in wrong)
        told = f"hardset {own} lacks {', '.join(map(str, wrong))}"
        return Check(name="libraries", state="failed", told=told, remedy=f"pip install {wanted}")
    named = []
    for name in ("torch", "ray", "pyarrow", "numpy"):
        with suppress(PackageNotFoundError):
            named.append(f"{name} {version(name)}")
    return Check(name="libraries", state="ok", told=f"hardset {own}; {', '.join(named)}")


def torch_fault() -> str | None:
    """Why torch cannot be loaded; None where it can."""
    try:
        import torch  # noqa: F401, PLC0415 - it takes seconds, and may not load
    except Exception as error:  # a torch of another CUDA, or a broken one, raises whatever its parts raise
        return f"{type(error).__name__}: {one_line(error, 200)}"
    return None


def device_check(run: Run | None) -> Check:
    """What torch, which can be loaded, can run on. `run`: of a job that is to run on this machine; None without one."""
    import torch  # noqa: PLC0415 - only where it can be loaded

    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    properties = [torch.cuda.get_device_properties(number) for number in range(usable)]
    named = [f"{one.name} with {one.total_memory / GIB:.0f} GiB" for one in properties]
    cpus = cores()
    told = f"{', '.join(named) or 'no GPU'}; {cpus:g} CPU core{'s' * (cpus != 1)}"
    if run is None:
        return Check(name="devices", state="ok", told=told)
    if run.gpus_per_actor > 0 and not usable:
        built = "is built without CUDA" if torch.version.cuda is None else f"is built for CUDA {torch.version.cuda}"
        remedy = f"set run.gpus_per_actor: 0, give --address, or mend the driver (torch {torch.__version__} {built})"
        return Check(name="devices", state="failed", told=f"{told}; run.gpus_per_actor asks for one", remedy=remedy)
    if usable and not run.gpus_per_actor:
        remedy = f"set run.actors: {usable} and run.gpus_per_actor: 1"
        return Check(name="devices", state="warning", told=f"{told}, which the job does not use", remedy=remedy)
    asked = run.most_actors * run.cpus_per_actor
    if asked > cpus:
        told += f"; {count(run.most_actors, 'actor')} of {run.cpus_per_actor:g} share them"
        remedy = f"lower run.actors to {max(1, int(cpus // max(run.cpus_per_actor, 1)))}"
        return Check(name="devices", state="warning", told=told, remedy=remedy)
    return Check(name="devices", state="ok", told=told)


def memory_check(actors: int = 0, resident: int = 0) -> Check:
    """Memory that is left. `actors`: of a job on this machine; `resident`: bytes of a process that has loaded torch."""
    room = memory()
    if room is None:
        return Check(name="memory", state="absent", told="this system does not tell")
    told = f"{room.free / GIB:.1f} of {room.whole / GIB:.1f} GiB free"
    least = actors * resident
    if least > room.free:
        fit = max(1, room.free // resident)
        told += f"; {count(actors, 'actor')} take {least / GIB:.1f} GiB before they hold a model"
        return Check(name="memory", state="failed", told=told, remedy=f"lower run.actors to {fit} or fewer")
    if room.free < TIGHT_BYTES:
        remedy = "end other programs, or give the container more memory"
        return Check(name="memory", state="warning", told=told, remedy=remedy)
    if actors:
        told += f"; {count(actors, 'actor')} take {least / GIB:.1f} GiB, to which model and batches come"
    return Check(name="memory", state="ok", told=told)


def shared_memory_check() -> Check:
    """Shared memory for Ray."""
    room = shared_memory()
    if room is None:
        return Check(name="shared memory", state="absent", told="this system has no /dev/shm; Ray uses files")
    told = f"{room.free / GIB:.1f} of {room.whole / GIB:.1f} GiB free in /dev/shm"
    if room.free < STORE_BYTES:
        told += f"; Ray asks for {STORE_BYTES // MIB} MiB, and uses slow files instead"
        return Check(name="shared memory", state="warning", told=told, remedy="docker run --shm-size=1g, or mount more")
    return Check(name="shared memory", state="ok", told=told)


def extra_checks(needed: dict[str, str], installed: Callable[[str], bool] | None = None) -> Iterator[Check]:
    """The extras: those that are there in one line, and a line for each that is not. `needed`: key paths by extra.

    `installed`: whether an extra is there; None: as the metadata of hardset says.
    """
    known = extras()
    here = installed or (lambda extra: not unmet(extra))
    there = [extra for extra in EXTRAS if (extra in known or installed) and here(extra)]
    yield Check(name="extras", state="ok", told=", ".join(there) or "none is installed")
    for extra, purpose in EXTRAS.items():
        if extra in there or not (extra in known or installed):
            continue
        key = needed.get(extra)
        yield Check(
            name=f"extra {extra}",
            state="absent" if key is None else "failed",
            told=f"not installed: {purpose}" + ("" if key is None else f", which {key} asks for"),
            remedy=f"pip install 'hardset[{extra}]'",
        )
