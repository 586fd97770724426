"""Two nodes as `ray start` makes them, on two loopback addresses: a driver attaches, and both make shards."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import parse_job
from tests.chaos.processes import descendants, eventually, named, shard_actors
from tests.chaos.trial import digests
from tests.ray_head import free_ports, stop_all_below
from tests.support import document, make_here

ROOT = Path(__file__).resolve().parents[2]
HEAD, OTHER = "127.0.0.1", "127.0.0.2"
PGD = {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "40/255", "steps": 100}


@contextmanager
def _node(ip: str, folder: Path, environment: dict[str, str], **options: object) -> Iterator[int]:
    """Process id of a `ray start --block` of one core. It stands in another folder than the driver."""
    agent, metrics = free_ports(2)
    given = {
        "node-ip-address": ip,
        "num-cpus": 1,
        "object-store-memory": 80_000_000,
        "dashboard-agent-listen-port": agent,
        "metrics-export-port": metrics,
        "min-worker-port": 0,
        "max-worker-port": 0,
    }
    line = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    line += [f"--{name.replace('_', '-')}={value}" for name, value in (given | options).items()]
    line += [] if "address" in options else ["--head"]
    said = folder / f"{ip}.log"
    with said.open("wb") as log:
        node = subprocess.Popen(line, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(lambda: named("raylet", descendants([node.pid])), node, said)
        yield node.pid
        assert node.poll() is None, said.read_text()
    finally:
        node.terminate()
        with suppress(subprocess.TimeoutExpired):
            node.wait(10)


def _wait_for(condition: Callable[[], object], node: subprocess.Popen[bytes], said: Path) -> None:
    def or_dead() -> object:
        assert node.poll() is None, said.read_text()
        return condition()

    eventually(or_dead, f"a node: {said.read_text()}", patience=90)


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, str], list[int]]]:
    """Address of a cluster with a token, the environment that reaches it, and the process ids of its two nodes."""
    folder = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))  # names of sockets have room for 107 characters
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = clean | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": str(ROOT / "src"),
    }
    port, client = free_ports(2)
    head = {"port": port, "ray_client_server_port": client, "include_dashboard": False}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(stop_all_below, folder)
        first = stack.enter_context(_node(HEAD, folder, environment, **head, temp_dir=folder))
        second = stack.enter_context(_node(OTHER, folder, environment, address=f"{HEAD}:{port}"))
        yield f"{HEAD}:{port}", environment, [first, second]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_nodes_make_shards_and_the_dataset_is_that_of_one_process(
    cluster: tuple[str, dict[str, str], list[int]], weights: dict[str, str], tmp_path: Path
) -> None:
    address, environment, nodes = cluster
    limits = {"source": {"format": "digits", "limit": 200}, "recipes": [PGD], "run": {"actors": 2, "batch": 64}}
    content = document(weights, tmp_path / "out", output={"path": str(tmp_path / "out"), "shard_rows": 10}, **limits)
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(content))
    hardset = [sys.executable, "-m", "hardset"]
    run = subprocess.Popen(
        [*hardset, "generate", str(job), "--address", address, "--json"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    actors: list[set[int]] = [set() for _ in nodes]
    while run.poll() is None:
        for seen, node in zip(actors, nodes, strict=True):
            seen.update(shard_actors([node]))
        time.sleep(0.1)
    out, err = run.communicate()
    assert run.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["shards_made"] == 20

    look = Folder(str(tmp_path / "out"))
    receipts = [json.loads(look.read(path)) for path in look.list("_hardset/runs/") if "/receipts/" in path]
    made = [sum(receipt["process"] in seen for receipt in receipts) for seen in actors]
    assert len(receipts) == sum(made) == 20 and min(made) > 0, made

    here = content | {"output": {"path": str(tmp_path / "here"), "shard_rows": 10}}
    make_here(parse_job(here))
    assert digests(look) == digests(Folder(str(tmp_path / "here")))
    check = [*hardset, "verify", str(tmp_path / "out"), "--job", str(job), "--sample", "50"]
    audit = subprocess.run(check, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    for node in nodes:
        eventually(lambda node=node: not shard_actors([node]), "the end of the actors", patience=30)
