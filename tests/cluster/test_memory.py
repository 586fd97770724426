"""Workers that memory ran out under: told as such, by whom, where, with figures, and with what to lower."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.exceptions import OutOfMemoryError

from hardset.pipeline.cluster import memory
from hardset.schemas.job.job import Run

BY_RAY = """1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.3, ID: c34) \
was 30.12GB used / 31.54GB limit (0.955)
OOM kill reason: Memory usage 6240288768B exceeded threshold of 505530016B (2.0% of 25276502016B limit)
Ray killed 1 worker(s) based on the killing policy
Considered workers: [
Selected to kill: (Task: job ID=01000000, task name=ShardActor.__init__, required resources={CPU: 1}, pid=13902)
]
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/en/latest/
"""
"""As Ray 2.60 tells it, shortened."""


def test_rays_own_kill_is_told_with_node_figures_and_settings() -> None:
    told = memory.told_by_ray(str(OutOfMemoryError(BY_RAY)), Run(actors=4, batch=256))
    assert told == (
        "memory ran out on node 10.0.0.3 (30.12GB of 31.54GB in use), and Ray ended the worker; lower run.actors (4), "
        "run.shards_per_actor (2), run.batch (256), output.shard_rows, or give it more memory"
    )
    assert memory.told_by_ray("Worker unexpectedly exits with a connection error code 2. End of file.", Run()) is None


def test_what_cannot_be_lowered_is_not_named() -> None:
    lowest = memory.remedy(Run(actors=1, shards_per_actor=1, batch=1))
    assert lowest == "lower output.shard_rows, or give it more memory"


@pytest.mark.parametrize(
    ("files", "figures"),
    [
        (
            {
                "memory.events": "low 0\nhigh 0\nmax 31\noom 2\noom_kill 2\n",
                "memory.current": f"{2**30}",
                "memory.max": f"{2**31}",
            },
            "limit 2.00 GiB, 1.00 in use now",
        ),
        (
            {
                "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                "memory/memory.usage_in_bytes": f"{2**30}",
                "memory/memory.limit_in_bytes": f"{2**31}",
            },
            "limit 2.00 GiB, 1.00 in use now",
        ),
        ({"memory.events": "oom_kill 2\n", "memory.max": "max"}, "its limit is reached"),
    ],
)
def test_kills_of_the_kernel_are_counted_in_the_cgroup(
    files: dict[str, str], figures: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In those of version 2 and 1."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.kills() == 0
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.kills() == 2
    told = memory.told_by_kernel("node-7", Run(actors=1))
    assert told.startswith(f"memory ran out on node node-7 ({figures}), and the kernel killed the worker; lower ")
    assert "run.actors" not in told


@pytest.mark.parametrize(
    ("own", "group", "counter"),
    [
        pytest.param("0::/slurm/job_7\n", "slurm/job_7", "memory.events", id="version 2"),
        pytest.param("5:cpu:/\n4:memory:/job_7\n0::/\n", "memory/job_7", "memory.oom_control", id="version 1"),
    ],
)
def test_kills_are_counted_in_the_own_group_where_cgroups_have_no_namespace(
    own: str, group: str, counter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    folder = tmp_path / group
    folder.mkdir(parents=True)
    (folder.parent / counter).write_text("oom_kill 9\n")  # of all groups on the machine
    (folder / counter).write_text("oom_kill 2\n")
    assert memory.kills() == 2
