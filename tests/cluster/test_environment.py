"""What actors' processes start with."""

from __future__ import annotations

import os
from typing import Any

import pytest
import ray

from hardset.pipeline.cluster.connection import connect
from hardset.pipeline.cluster.messages import Ready
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
    connect(Job.run, None)
    try:
        backend = RayBackend(Setup(Job), Asked)  # type: ignore[arg-type]
        backend.start()
        (event,) = backend.wait(60)
    finally:
        ray.shutdown()
    assert event.result == Ready()
