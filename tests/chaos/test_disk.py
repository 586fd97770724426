"""Disks that take no more, under workers and under the whole run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.monkeys import torment
from tests.chaos.nodes import Nodes
from tests.chaos.trial import TrialOf

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_writes_are_cut_at_any_byte(trial: TrialOf, nodes: Nodes) -> None:
    dataset = trial(nodes=nodes)
    with dataset.running() as scene:
        assert torment(scene, ["write cut at byte k"], times=6) == 6
        dataset.end(scene.driver)
    assert dataset.is_as_undisturbed()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many kibibytes of its own; called again, it grows or shrinks."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kibibytes: int) -> Path:
        how = ["-o", f"{'remount,' if place.is_mount() else ''}size={kibibytes}k"]
        done = subprocess.run(["mount", "-t", "tmpfs", *how, "none", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("this user may not mount a file system")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", place], check=True)


def test_a_disk_fills_up_and_grows(trial: TrialOf, nodes: Nodes, small_disk: Callable[[int], Path]) -> None:
    size = 300
    dataset = trial(nodes=nodes, out=small_disk(size) / "out", rows=100)
    for _ in range(2):
        before = dataset.committed()
        with dataset.running(pace=0) as scene:
            dataset.end(scene.driver, code=1)
        assert "No space left on device" in scene.driver.said()
        dataset.trouble.note("disk full")
        assert dataset.manifest() is None
        assert dataset.committed() > before
        size += 150
        small_disk(size)
    small_disk(64 * 1024)
    assert dataset.resume()["shards_made"] < len(dataset.undisturbed)
    assert dataset.is_as_undisturbed()
