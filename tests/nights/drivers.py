"""Starts of a run in processes that can be killed, forked from one that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from hardset.jobs.app import run
from hardset.pipeline.run import generation
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError
from tests.nights.conftest import in_process


def context() -> ForkServerContext:
    """Where processes come from; each costs milliseconds, after the first."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


def start(
    arguments: list[str], log: Path, *, pause: float = 0.0, outage: float = 0.0, seed: int = 0
) -> ForkServerProcess:
    """`hardset` with these arguments in a process of its own, its output in the file `log`.

    `pause`: seconds that each shard takes longer; `outage`: share of the store's changes that are refused, drawn by
    `seed`.
    """
    process = context().Process(target=drive, args=(arguments, str(log), dict(os.environ), pause, outage, seed))
    process.start()
    return process


def drive(arguments: list[str], log: str, environment: dict[str, str], pause: float, outage: float, seed: int) -> None:
    """The process: shards are made in it, without Ray."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    with Path(log).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

    def slowly(*parts: Any, **settings: Any) -> Iterator[Any]:
        for result in in_process(*parts, **settings):
            time.sleep(pause)
            yield result

    generation.results = slowly  # type: ignore[assignment]
    if outage:
        _refuse(random.Random(seed), outage)
    sys.exit(run(arguments))


def _refuse(draw: random.Random, share: float) -> None:
    """Makes changes of the store fail, before they have happened or right after."""
    for name in ("write", "create", "delete"):
        act = getattr(Folder, name)

        def failing(folder: Folder, *parts: Any, act: Any = act) -> Any:
            late = draw.random() < 0.5
            fails = draw.random() < share
            if fails and not late:
                raise RunError(f"{folder.name}: cannot write: out of reach")
            done = act(folder, *parts)
            if fails:
                raise RunError(f"{folder.name}: cannot write: no answer")
            return done

        setattr(Folder, name, failing)
