"""A Ray head with a token, as `ray start` gives it: real jobs, and nothing left of it afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hardset.jobs.cluster.following import connect
from hardset.schemas.errors import RunError

START_S = 60.0
END_S = 10.0


@contextmanager
def ray_head(python: Path = Path(sys.executable), *, on_path: bool = True) -> Iterator[tuple[str, str]]:
    """Address of the job API, and token, of a head with one core.

    `python`: of the environment that its jobs run in; `on_path`: whether that comes first on their PATH.
    """
    # Sockets below it must stay under 107 characters, which pytest's own folders exceed.
    folder, token = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp")), secrets.token_hex(32)
    dashboard, gcs, client, agent = free_ports(4)
    options = {
        "port": gcs,
        "dashboard-port": dashboard,
        "ray-client-server-port": client,
        "dashboard-agent-listen-port": agent,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 1,
        "object-store-memory": 80_000_000,
        "node-ip-address": "127.0.0.1",
        "dashboard-host": "127.0.0.1",
        "temp-dir": folder,
    }
    start = [str(python), "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    path = os.pathsep.join((str(python.parent), os.environ.get("PATH", ""))) if on_path else "/usr/bin:/bin"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_") and k != "PYTHONPATH"}
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(
            start + [f"--{name}={value}" for name, value in options.items()],
            env=clean | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PATH": path},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for_head(f"http://127.0.0.1:{dashboard}", token, process, folder)
        yield f"http://127.0.0.1:{dashboard}", token
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        stop_all_below(folder)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in with_ports]
    for s in with_ports:
        s.close()
    return ports


def stop_all_below(folder: Path) -> None:
    """Ends what the head started, every process whose command line names its private folder, and waits for that."""
    deadline = time.monotonic() + END_S
    while (left := _all_below(folder)) and time.monotonic() < deadline:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def _all_below(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def wait_for_head(address: str, token: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", token)
        while True:
            with suppress(RunError):
                connect(address).jobs()
                return
            assert process.poll() is None and time.monotonic() < deadline, (folder / "start.log").read_text()
            time.sleep(0.3)
