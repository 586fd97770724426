"""Functions in the places where people call them: beside an event loop, in another thread, inside a Ray task."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray

import hardset
from hardset.schemas.records.results import Ended

HANDLED = (signal.SIGTERM, signal.SIGINT)


def job_of(out: Path | str, limit: int = 20) -> dict[str, Any]:
    return {
        "name": "called",
        "source": {"format": "digits", "limit": limit},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": str(out)},
        "run": {"actors": 1},
    }


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]
class Own:
    """An actor of the caller's, which takes a core and must outlive what hardset does."""

    def pid(self) -> int:
        """Its process."""
        return os.getpid()


@pytest.mark.slow
def test_without_a_cluster_a_thread_starts_one_and_ends_it(tmp_path: Path) -> None:
    assert not ray.is_initialized()
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(hardset.generate(job_of(tmp_path / "out"))))
    thread.start()
    thread.join()
    assert [one.status for one in ended] == ["complete"]
    assert not ray.is_initialized()


@pytest.mark.usefixtures("callers_ray")
class TestBesideTheCallersRay:
    """One cluster of two cores, started by the caller."""

    def test_a_notebook_cell_leaves_the_cluster_its_actors_and_the_signals_alone(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        own = Own.remote()
        before = ray.get(own.pid.remote())
        handlers = {number: signal.getsignal(number) for number in HANDLED}
        capfd.readouterr()
        seen: list[int] = []

        async def cell() -> Ended:  # beside a running event loop, as in a notebook
            return hardset.generate(job_of(tmp_path / "out"), progress=lambda made: seen.append(made.shards_done))

        ended = asyncio.run(cell())
        assert capfd.readouterr() == ("", "")
        assert isinstance(ended, Ended) and (ended.status, ended.totals.rows_out) == ("complete", 20)
        assert seen == [0, 1]
        assert {number: signal.getsignal(number) for number in HANDLED} == handlers
        assert ray.is_initialized() and ray.get(own.pid.remote()) == before
        assert hardset.generate(job_of(tmp_path / "out"), address="auto").status == "nothing to do"
        ray.kill(own)

    def test_another_address_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(hardset.JobError, match=r"is connected to the Ray cluster at .* already"):
            hardset.generate(job_of(tmp_path / "out"), address="10.0.0.1:6379")
        assert ray.is_initialized()

    def test_a_ray_task_makes_a_dataset_of_its_own(self, tmp_path: Path) -> None:
        @ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
        def task(job: dict[str, Any]) -> tuple[str, int, bool]:
            ended = hardset.generate(job)
            return ended.status, ended.totals.rows_out, ray.is_initialized()

        assert ray.get(task.remote(job_of(tmp_path / "out"))) == ("complete", 20, True)
        assert ray.is_initialized()

    @pytest.mark.slow
    def test_relative_paths_are_the_callers_in_another_thread_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # after the cluster has started: its workers start elsewhere
        with ThreadPoolExecutor() as pool:
            assert pool.submit(hardset.generate, job_of("made")).result().status == "complete"
        assert hardset.verify(tmp_path / "made").rows == 20
