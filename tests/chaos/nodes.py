"""A Ray cluster whose nodes are processes of this machine, each a raylet that can be killed with its workers."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.chaos.processes import send, shard_actors

HEALTH = {
    "health_check_initial_delay_ms": 5000,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""A node that does not answer is given up after seven seconds; Ray's default is half a minute."""
_MEMORY = 80 * 1024**2  # bytes of object store; specs and receipts only, rows never enter it


class Nodes:
    """The cluster. Its head runs the drivers and no actor; actors live on the other nodes."""

    def __init__(self, folder: str, *, nodes: int, cpus: int) -> None:
        from ray.cluster_utils import Cluster

        self._cpus = cpus
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": False,
                "include_log_monitor": False,
                "temp_dir": folder,
                "object_store_memory": _MEMORY,
                "_system_config": HEALTH,
            },
        )
        for _ in range(nodes):
            self.join()

    @property
    def address(self) -> str:
        """What `--address` takes."""
        return str(self.cluster.address)

    def join(self) -> None:
        """Adds a node."""
        self.cluster.add_node(num_cpus=self._cpus, object_store_memory=_MEMORY)

    def raylets(self) -> list[int]:
        """Process ids of the raylets that may have actors."""
        return [raylet_of(node) for node in self.cluster.worker_nodes]

    def workers(self, node: Any = None) -> list[int]:
        """Process ids of the shard actors, on one node or on all."""
        return shard_actors(self.raylets() if node is None else [raylet_of(node)])

    def busy_nodes(self) -> list[Any]:
        """Nodes that run shard actors."""
        return [node for node in self.cluster.worker_nodes if self.workers(node)]

    def kill(self, node: Any) -> None:
        """SIGKILL to a raylet and to its workers."""
        workers = self.workers(node)
        self.cluster.remove_node(node, allow_graceful=False)
        for worker in workers:
            send(worker, signal.SIGKILL)


def raylet_of(node: Any) -> int:
    """Process id of a node's raylet."""
    return int(node.all_processes["raylet"][0].process.pid)


@contextmanager
def cluster(*, nodes: int, cpus: int) -> Iterator[Nodes]:
    """A cluster while the context lasts. Nobody else's Ray on this machine learns of it."""
    folder = tempfile.mkdtemp(prefix="hardset-", dir="/tmp")  # names of sockets have room for 107 characters
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(_import_path())}
    try:
        with mock.patch.dict(os.environ, settings), mock.patch("ray._private.utils.write_ray_address"):
            running = Nodes(folder, nodes=nodes, cpus=cpus)
            try:
                yield running
            finally:
                running.cluster.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import_path() -> list[str]:
    root = str(Path(__file__).resolve().parents[2])
    return [root, *filter(None, [os.environ.get("PYTHONPATH")])]
