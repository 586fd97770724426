"""What actors' processes start with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.cluster.connection import connected
from hardset.pipeline.cluster.messages import Ready
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.ray_backend import RayBackend
from hardset.schemas.job.job import Run


class Asked:
    """An actor that tells what it sees."""

    def __init__(self, setup: Any) -> None: ...

    def prepare(self) -> Ready:
        told = os.environ.get("OMP_WAIT_POLICY")
        assert told == "PASSIVE", told
        return Ready()


class Setup:
    """All that the backend looks at."""

    def __init__(self, job: Any) -> None:
        self.job = job


class Job:
    run = Run(actors=1, cpus_per_actor=2)


@pytest.mark.slow
def test_threads_of_an_actor_do_not_spin_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)  # the actor is of this file
    with connected(Job.run, ClusterPlace()):
        backend = RayBackend(Setup(Job), Asked)  # type: ignore[arg-type]
        backend.start()
        (event,) = backend.wait(60)
    assert event.result == Ready()
