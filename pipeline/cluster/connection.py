"""Joining a Ray cluster, or starting one inside this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
import torch
from ray.job_config import JobConfig

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Run


class _PlainImportPath(JobConfig):  # type: ignore[misc]  # Ray is not typed
    """Workers look for modules where Python does.

    Ray 2.60 puts the folders of the driver and of its script in front in every worker unless the job has a working
    folder of its own, so that a user's `yaml.py` would be taken for the library. What the job names is found in the
    driver's folders all the same: actors append them.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


@dataclass(frozen=True)
class ClusterPlace:
    """Where Ray is, or is to be started."""

    address: str | None = None
    """A cluster; None: one is started inside this machine."""
    metrics_port: int | None = None
    """Where that one tells Prometheus its metrics; None: at any free port. A cluster has its own."""


def connect(run: Run, address: str | None, metrics_port: int | None = None) -> None:
    """Joins the Ray cluster at `address`, or starts one inside this process's machine.

    `metrics_port`: where the latter tells Prometheus its metrics; any free port where it is None.

    Raises JobError where the cluster cannot be reached, or this machine can never give an actor what it asks for.
    """
    with _own_signal_handlers():
        if address is None:
            _start_embedded(run, metrics_port)
            return
        try:
            # A client's server unpickles the configuration, and may have no hardset; it puts no folder in front.
            config = None if address.startswith("ray://") else _PlainImportPath()
            ray.init(address=address, job_config=config, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise JobError(f"--address {address}: no Ray cluster answers there ({error})") from None


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Puts the caller's handlers back: Ray 2.60 installs one of its own for SIGTERM, which aborts the process."""
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_embedded(run: Run, metrics_port: int | None) -> None:
    # Logical CPUs only: more actors than cores share them, as the job asked.
    cpus = max(os.cpu_count() or 1, run.most_actors * run.cpus_per_actor)
    if run.gpus_per_actor > 0 and not torch.cuda.is_available():
        raise JobError("run.gpus_per_actor: this machine has no GPU that torch can use; set 0, or give --address")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(
        address="local",  # else Ray joins a cluster that RAY_ADDRESS names or that runs on this machine
        job_config=_PlainImportPath(),
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=200 * 1024**2,  # bytes; specs and receipts only, rows never enter it
        _metrics_export_port=metrics_port,
    )
