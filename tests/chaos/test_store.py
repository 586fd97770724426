"""An S3 API that cuts, loses, refuses and delays: on every kind of request, while workers die as well."""

from __future__ import annotations

import time

import pytest

from tests.chaos.monkeys import torment
from tests.chaos.nodes import Nodes
from tests.chaos.processes import eventually
from tests.chaos.proxy import STORE_FAULTS, FaultyStore
from tests.chaos.trial import TrialOf

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_a_store_that_fails_now_and_then(trial: TrialOf, nodes: Nodes, faulty_store: FaultyStore) -> None:
    dataset = trial(nodes=nodes, store=faulty_store)
    note = dataset.trouble.note
    with (
        faulty_store.haunted(dataset.random, note, times=40, one_in=15, faults=STORE_FAULTS) as haunting,
        dataset.running() as scene,
    ):
        for _ in range(3):
            assert torment(scene, ["worker killed"], times=1) == 1
            with faulty_store.out_of_reach():
                time.sleep(dataset.random.uniform(0.5, 3))
            note("store away")
        dataset.end(scene.driver)
    assert haunting.left == 0
    assert dataset.is_as_undisturbed()


def test_a_store_that_is_gone(trial: TrialOf, nodes: Nodes, faulty_store: FaultyStore) -> None:
    dataset = trial(nodes=nodes, store=faulty_store, rows=100)
    dataset.document["run"]["max_attempts"] = 1
    with dataset.running(pace=0.1) as scene:
        eventually(lambda: dataset.committed() > 1, "commits")
        with faulty_store.out_of_reach():
            dataset.trouble.note("store gone")
            dataset.end(scene.driver, code=1)
    assert dataset.manifest() is None
    assert 0 < dataset.resume()["shards_made"] < len(dataset.undisturbed)
    assert dataset.is_as_undisturbed()
