"""The short suite, which runs with all other tests: one storm over processes, one over a store."""

from __future__ import annotations

import pytest

from hardset.schemas.reading.loading import parse_job
from tests.chaos.monkeys import torment
from tests.chaos.proxy import STORE_FAULTS, FaultyStore
from tests.chaos.trial import TrialOf
from tests.support import hardset, last_json, make_here

ROWS = 100


@pytest.mark.timeout(400)
def test_a_short_storm(trial: TrialOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers die, then the driver: what the next start makes of the rest is the dataset of a quiet day."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # of a cluster that is gone; only --address asks for one
    dataset = trial(rows=ROWS, actors=2)
    with dataset.running(pace=0.05) as scene:
        assert torment(scene, ["worker killed", "segfault", "exception"], times=3) == 3
        scene.driver.kill()
        dataset.trouble.note("driver killed")
    assert dataset.manifest() is None
    done = hardset("generate", dataset.job, "--json")
    assert done.returncode == 0, done.stderr
    assert 0 < last_json(done)["shards_made"] < last_json(done)["shards"]
    assert dataset.is_as_undisturbed()


@pytest.mark.slow
def test_a_short_storm_on_a_store(trial: TrialOf, faulty_store: FaultyStore) -> None:
    dataset = trial(rows=ROWS, store=faulty_store)
    with faulty_store.haunted(
        dataset.random, dataset.trouble.note, times=12, one_in=6, faults=STORE_FAULTS
    ) as haunting:
        make_here(parse_job(dataset.document))
    assert haunting.left == 0
    assert dataset.is_as_undisturbed()
