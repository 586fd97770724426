"""Drivers die, freeze and meet; exit codes tell the truth, and the next start goes on from what is committed."""

from __future__ import annotations

import signal
import time

import pytest

from hardset.pipeline.dataset.records.turns import current_holder
from tests.chaos.monkeys import Scene
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


def test_of_several_drivers_one_works(trial: TrialOf, nodes: Nodes) -> None:
    """The second is told who is at work; the third waits, and takes over from the first, which is killed."""
    dataset = trial(nodes=nodes, rows=100)
    with dataset.running(pace=1) as first:
        eventually(lambda: current_holder(dataset.look) is not None, "a lease")
        with dataset.running("--if-held", "wait", pace=1) as third, dataset.running(pace=1) as second:
            dataset.trouble.note("two drivers", 2)
            assert second.driver.end() == 5, second.driver.said()
            assert f"process {first.driver.pid} on" in second.driver.said()
            first.driver.kill()
            dataset.trouble.note("driver killed")
            dataset.end(third.driver)
    assert dataset.is_as_undisturbed()


def test_drivers_that_slept_past_their_lease_write_nothing_more(trial: TrialOf, nodes: Nodes) -> None:
    """One falls asleep in the middle, one on its last metres. Actors of a sleeper go on holding their CPUs."""
    middle, late = (trial(nodes=nodes, rows=100, actors=1, called=name) for name in ("middle", "late"))
    with middle.running(pace=0.1) as first, late.running(pace=0.1) as second:
        _put_to_sleep(middle, first, commits=1)
        _put_to_sleep(late, second, commits=len(late.undisturbed))
        for dataset, scene in ((middle, first), (late, second)):
            done = dataset.manifest() is not None
            eventually(lambda dataset=dataset: current_holder(dataset.look) is None, "the end of the lease")
            dataset.resume()
            records = dataset.records()
            scene.driver.signal(signal.SIGCONT)
            dataset.end(scene.driver, code=0 if done else 5)
            assert done or "another run has taken this output over" in scene.driver.said()
            assert dataset.records() == records
    assert middle.is_as_undisturbed()
    assert late.is_as_undisturbed()


def _put_to_sleep(dataset: Trial, scene: Scene, *, commits: int) -> None:
    eventually(lambda: dataset.committed() >= commits, "commits")
    time.sleep(dataset.random.uniform(0, 0.4))
    scene.driver.signal(signal.SIGSTOP)
    dataset.trouble.note("driver frozen")
