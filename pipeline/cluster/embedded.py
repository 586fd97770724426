"""Ray inside this machine, for one run: reached over loopback alone, in a folder of its own, gone when the run is."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import torch
from ray._private import services

from hardset.pipeline.cluster import reaper
from hardset.pipeline.cluster.quiet import LEVEL, quiet
from hardset.pipeline.cluster.undisturbed import undisturbed
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Run

_PREFIX = "hardset-ray-"
_LONGEST_BASE = 32
"""Characters of the longest folder that sockets fit below: their paths hold 107 at most, and Ray adds up to 72."""
_ROOM_BYTES = 8 * 1024**2
"""Room for Ray's logs and sockets: a run of some seconds writes 1 MB (Ray 2.60)."""
_LOOPBACK = "127.0.0.1"
_AGENT_PORT = 52365
"""Port of the agent on every node (Ray 2.60)."""
_STORE_BYTES = 200 * 1024**2
"""Object store: specs and receipts only; rows never enter it."""


@contextmanager
def embedded(run: Run, metrics_port: int | None = None, **settings: Any) -> Iterator[None]:
    """A Ray of this process alone, while the block runs. `settings`: further ones of `ray.init`.

    It listens on 127.0.0.1 only, unless `metrics_port` names a port for Prometheus, which other machines may have to
    reach. Whatever it starts is ended, and its folder removed, a few seconds after this process has ended, however
    that ends. Raises JobError where this machine can never give an actor what it asks for, RunError where Ray does
    not start.
    """
    if run.gpus_per_actor > 0 and not torch.cuda.is_available():
        raise JobError("run.gpus_per_actor: this machine has no GPU that torch can use; set 0, or give --address")
    if metrics_port is not None and _taken(metrics_port):
        raise JobError(f"--metrics-port: another process of this machine listens at {metrics_port}; name a free port")
    home = _private_folder()
    with reaper.watching(home), quiet(home):
        try:
            _set_environment()
            with _loopback(metrics_port is None):
                _start(run, home, metrics_port, settings)
            yield
        finally:
            with undisturbed():
                ray.shutdown()
                shutil.rmtree(home, ignore_errors=True)


def _start(run: Run, home: Path, metrics_port: int | None, settings: dict[str, Any]) -> None:
    # Logical CPUs only: more actors than cores share them, as the job asked.
    cpus = max(os.cpu_count() or 1, run.most_actors * run.cpus_per_actor)
    try:
        ray.init(
            address="local",  # else Ray joins a cluster that RAY_ADDRESS names or that runs on this machine
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=LEVEL,
            object_store_memory=_STORE_BYTES,
            _temp_dir=str(home / "ray"),
            _node_ip_address=_LOOPBACK if metrics_port is None else None,
            _metrics_export_port=metrics_port,
            **settings,
        )
    except Exception as error:  # Ray raises whatever its parts raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        port = f"; another process listens at {_AGENT_PORT}, which Ray's agent wants" if _taken(_AGENT_PORT) else ""
        raise RunError(
            f"Ray does not start on this machine: {reason}{port}; check free memory, shared memory (df /dev/shm) and "
            f"space in {home.parent}, or give --address of a cluster"
        ) from error


def _taken(port: int) -> bool:
    """Whether a process of this machine listens at a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _private_folder() -> Path:
    """A new folder that this user alone may enter, with room for Ray's files, short enough for sockets.

    Removes those of drivers that are gone. Raises RunError where no place will do.
    """
    refused = []
    for base in dict.fromkeys((_temporary(), "/tmp", "/dev/shm")):
        if len(base) > _LONGEST_BASE:
            refused.append(f"{base} has a name of more than {_LONGEST_BASE} characters")
            continue
        if not os.access(base, os.W_OK | os.X_OK):
            refused.append(f"{base} cannot be written to")
            continue
        reaper.sweep(Path(base), _PREFIX)
        try:
            return _with_room(base)
        except OSError as error:
            refused.append(f"{base}: {error.strerror}")
    raise RunError(f"no folder for Ray's sockets and logs: {'; '.join(refused)}; set TMPDIR to another")


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # nowhere can a file be written
        return os.environ.get("TMPDIR") or "/tmp"


def _with_room(base: str) -> Path:
    """A new folder below `base`. Raises OSError where that has no room for what Ray writes, or is no folder of ours."""
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    try:
        with tempfile.TemporaryFile(dir=home) as file:
            left = _ROOM_BYTES
            while left > 0:  # written and not reserved: not every file system reserves, and quotas count bytes
                left -= file.write(bytes(min(left, 1 << 20)))
            file.flush()
    except OSError:
        shutil.rmtree(home, ignore_errors=True)
        raise
    return home


def _set_environment() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        _keep_token_private()


def _keep_token_private() -> None:
    """Makes the token that guards Ray readable for this user alone: Ray 2.60 writes it for everybody.

    Ray reads it once in a process, so that it lies where Ray looks and not in the folder of one run; where there is no
    home folder to write to, a token of this process stands in the environment.
    """
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        token = folder / "auth_token"
        if not token.exists():
            _create_whole(token, secrets.token_hex(32))
        token.chmod(0o600)
    except (OSError, RuntimeError):  # no home, not this user's, or read-only
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _create_whole(place: Path, text: str) -> None:
    """Creates a file of this user's alone, which no other process sees in part. One that was faster wins."""
    descriptor, part = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            place.hardlink_to(part)
    finally:
        Path(part).unlink()


@contextmanager
def _loopback(wanted: bool) -> Iterator[None]:
    """Lets Ray bind to loopback: 2.60 replaces 127.0.0.1 by the address of the network wherever it is asked for it."""
    own = services.resolve_ip_for_localhost
    if wanted:
        services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = own
