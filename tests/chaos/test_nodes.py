"""Whole nodes die or freeze with the workers on them, and others take their place."""

from __future__ import annotations

import pytest

from tests.chaos.monkeys import torment
from tests.chaos.nodes import Nodes
from tests.chaos.trial import TrialOf


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_nodes_die_and_zombies_wake(trial: TrialOf, nodes: Nodes) -> None:
    dataset = trial(nodes=nodes)
    with dataset.running() as scene:
        assert torment(scene, ["node killed", "node frozen"], times=8, apart=6) == 8
        dataset.end(scene.driver)
    assert dataset.is_as_undisturbed()
