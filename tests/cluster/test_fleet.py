"""What is said of workers that are not there is true: they want room, or load their tools, or the engine broke."""

from __future__ import annotations

import pytest

from hardset.pipeline.cluster.fleet import Fleet
from hardset.pipeline.cluster.loads import Loads
from hardset.schemas.errors import RunError
from hardset.schemas.job.job import Run


class Waiting:
    """A cluster on which nothing happens."""

    seconds, why, asked = 0.0, None, 0

    def start(self) -> int:
        self.asked += 1
        return self.asked

    def now(self) -> float:
        return self.seconds

    def broken(self) -> str | None:
        return self.why

    def shortage(self) -> str:
        return "no room"

    def send(self, actor: int, order: object) -> int:
        raise NotImplementedError

    def wait(self, seconds: float) -> list[object]:
        raise NotImplementedError

    def kill(self, actor: int) -> None:
        raise NotImplementedError


def test_workers_that_have_room_are_not_told_as_wanting_it() -> None:
    """They load a model for more than a minute; where none is ready in time, that is what is told."""
    said: list[str] = []
    backend = Waiting()
    fleet = Fleet(Run(actors=2, start_minutes=5), backend, said.append, Loads(1))
    fleet.resize(4)
    backend.seconds = 59.0
    fleet.check()
    assert said == []
    fleet.placed(1)
    backend.seconds = 61.0
    fleet.check()
    fleet.check()
    assert said == ["waiting for workers: 1 of 2 workers started and loads model, weights and source"]
    backend.seconds = 301.0
    with pytest.raises(RunError, match=r"no worker in 5 minutes: 1 of 2 .* or raise run.start_minutes") as refusal:
        fleet.check()
    assert "add nodes" not in str(refusal.value)


def test_a_broken_engine_is_told_before_it_ends_the_process() -> None:
    backend = Waiting()
    backend.why = "the raylet has died"
    with pytest.raises(RunError, match="the raylet has died"):
        Fleet(Run(), backend, print, Loads(1)).check()
