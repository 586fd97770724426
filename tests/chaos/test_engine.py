"""Ray itself breaks under a driver that has started it."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.processes import descendants, eventually, named, send
from tests.chaos.trial import TrialOf

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.mark.parametrize("process", ["raylet", "gcs_server"])
def test_the_engine_dies_under_the_driver(process: str, trial: TrialOf) -> None:
    """The run ends as well as it can, and its exit code says whether that is to the end."""
    dataset = trial(rows=300, actors=2)
    with dataset.running(pace=0.1) as scene:
        eventually(lambda: dataset.committed() > 1, "commits")
        (victim,) = named(process, descendants([scene.driver.pid]))
        send(victim, signal.SIGKILL)
        dataset.trouble.note(f"{process} killed")
        dataset.end(scene.driver, code=None)
    complete = dataset.manifest() is not None
    assert (dataset.trouble.exit_codes == [0]) == complete
    assert complete or 0 < dataset.resume()["shards_made"] < len(dataset.undisturbed)
    assert dataset.is_as_undisturbed()
