"""Drivers die, freeze and meet; exit codes tell the truth, and the next start goes on from what is committed."""

from __future__ import annotations

import signal
import time

import pytest

from pipeline.sinks.lease import current_holder
from tests.chaos.nodes import Nodes
from tests.chaos.processes import eventually
from tests.chaos.trial import Trial, TrialOf

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_drivers_are_killed_again_and_again(trial: TrialOf, nodes: Nodes) -> None:
    dataset = trial(nodes=nodes)
    for _ in range(4):
        _break_off(dataset, signal.SIGKILL, fault="driver killed")
    _break_off(dataset, signal.SIGTERM, fault="driver asked to stop")
    answer = dataset.resume()
    assert 0 < answer["shards_made"] < answer["shards"]
    assert dataset.is_as_undisturbed()


def _break_off(dataset: Trial, number: signal.Signals, *, fault: str) -> None:
    """Starts, and sends the driver a signal a few commits later."""
    with dataset.running() as scene:
        enough = dataset.committed() + dataset.random.randint(2, 20)
        eventually(lambda: dataset.committed() >= enough, "commits")
        assert scene.driver.running(), scene.driver.said()
        scene.driver.signal(number)
        dataset.trouble.note(fault)
        if number == signal.SIGTERM:
            assert dataset.end(scene.driver, code=4)["status"] == "stopped"
    assert dataset.manifest() is None


def test_drivers_are_killed_on_the_last_metres(trial: TrialOf, nodes: Nodes) -> None:
    """Between the last receipt and the end of the process: card, statement, sweep, manifest and lease are at work."""
    dataset = trial(nodes=nodes, rows=100)
    shards = len(dataset.undisturbed)
    for _ in range(5):
        with dataset.running(pace=0) as scene:
            eventually(lambda: dataset.committed() >= shards, "the last receipt")
            time.sleep(dataset.random.uniform(0, 0.4))
            if scene.driver.running():
                scene.driver.kill()
                dataset.trouble.note("driver killed at the end")
    dataset.resume()
    assert dataset.is_as_undisturbed()


def test_a_second_driver_is_told_who_is_at_work(trial: TrialOf, nodes: Nodes) -> None:
    dataset = trial(nodes=nodes, rows=100)
    with dataset.running(pace=0.2) as first:
        eventually(lambda: dataset.committed() > 0, "a first commit")
        second = dataset.start()
        dataset.trouble.note("two drivers")
        dataset.end(second, code=1)
        assert f"process {first.driver.pid} on" in second.said()
        dataset.end(first.driver)
    assert dataset.is_as_undisturbed()


def test_a_driver_that_slept_past_its_lease_writes_nothing_more(trial: TrialOf, nodes: Nodes) -> None:
    """Its actors go on holding their CPUs, so the other start needs some of its own."""
    dataset = trial(nodes=nodes, rows=100, actors=2)
    with dataset.running(pace=0.1) as sleeper:
        eventually(lambda: dataset.committed() > 0, "a first commit")
        sleeper.driver.signal(signal.SIGSTOP)
        dataset.trouble.note("driver frozen")
        eventually(lambda: current_holder(dataset.look) is None, "the end of the lease")
        dataset.resume()
        manifest = dataset.manifest()
        sleeper.driver.signal(signal.SIGCONT)
        dataset.end(sleeper.driver, code=1)
        assert "another run took the output over" in sleeper.driver.said()
    assert dataset.manifest() == manifest
    assert dataset.is_as_undisturbed()
