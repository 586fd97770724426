"""Workers die in every way a process can, and the dataset is that of a quiet day."""

from __future__ import annotations

import pytest

from tests.chaos.monkeys import torment
from tests.chaos.moody import WAYS
from tests.chaos.nodes import Nodes
from tests.chaos.trial import TrialOf


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_workers_die_in_every_way(trial: TrialOf, nodes: Nodes) -> None:
    dataset = trial(nodes=nodes)
    with dataset.running() as scene:
        assert torment(scene, ["worker killed", *WAYS], times=30) == 30
        dataset.end(scene.driver)
    assert dataset.is_as_undisturbed()


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_workers_freeze_past_their_replacement(trial: TrialOf, nodes: Nodes) -> None:
    dataset = trial(nodes=nodes)
    dataset.document["run"]["shard_minutes"] = 0.1
    with dataset.running(pace=0.3) as scene:
        assert torment(scene, ["worker frozen"], times=3) == 3
        dataset.end(scene.driver)
    assert dataset.is_as_undisturbed()
