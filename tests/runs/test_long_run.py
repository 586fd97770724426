"""A long run in one driver: after a thousand shards it holds no more than after hundreds, and it leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARDS = 1000

DRIVER = """
import gc, json, os, sys
from pathlib import Path
import hardset
from hardset.pipeline.cluster.reaper import descendants

def held():
    gc.collect()
    memory = [int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private_Dirty")][0]
    return {"kib": memory, "files": len(os.listdir("/proc/self/fd")), "threads": len(os.listdir("/proc/self/task")),
            "processes": len(descendants(os.getpid()))}

seen = {}
def note(progress):
    if progress.shards_done in (300, 600, 999):
        seen[progress.shards_done] = held()

before = held()
ended = hardset.generate(json.loads(sys.argv[1]), progress=note)
told = {"status": ended.status, "shards": ended.shards_made, "before": before, "seen": seen, "after": held()}
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_shards_leave_nothing_behind(tmp_path: Path) -> None:
    job = {
        "name": "long",
        "source": {"format": "digits", "limit": SHARDS},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": str(tmp_path / "out"), "shard_rows": 1},
        "run": {"actors": 2},
    }
    places = [Path("/tmp"), Path("/dev/shm")]
    mine = {path for place in places for path in place.iterdir()}
    started = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(job)],
        env=os.environ | {"TMPDIR": "/tmp"},
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = started.communicate(timeout=800)
    assert started.returncode == 0
    told = json.loads(out.splitlines()[-1])
    assert (told["status"], told["shards"]) == ("complete", SHARDS)
    early, late = told["seen"]["300"], told["seen"]["999"]
    print(json.dumps(told))
    assert late["kib"] - early["kib"] < 16 * 1024, "700 records of a shard are some MiB; more is a leak"
    for kind in ("files", "threads", "processes"):
        assert late[kind] <= early[kind] + 2, kind
    assert told["after"]["processes"] == 0
    assert told["after"]["files"] < early["files"], "what Ray had open is closed; libraries open some once"
    left = {path for place in places for path in place.iterdir()} - mine
    ours = [path.name for path in left if path.name.startswith(f"hardset-ray-{started.pid}-")]
    assert ours == []
    assert [path.name for path in left if path.parent == Path("/dev/shm") and str(started.pid) in path.name] == []
