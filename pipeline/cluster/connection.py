"""Joining a Ray cluster, or starting one inside this machine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import AuthenticationError
from ray.job_config import JobConfig

from hardset.pipeline.cluster.embedded import embedded
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.quiet import LEVEL, quiet
from hardset.pipeline.cluster.undisturbed import undisturbed
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.job import Run


class _PlainImportPath(JobConfig):  # type: ignore[misc]  # Ray is not typed
    """Workers look for modules where Python does.

    Ray 2.60 puts the folders of the driver and of its script in front in every worker unless the job has a working
    folder of its own, so that a user's `yaml.py` would be taken for the library. What the job names is found in the
    driver's folders all the same: actors append them.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


@contextmanager
def connected(run: Run, place: ClusterPlace) -> Iterator[None]:
    """Joins the Ray cluster of `place`, or starts one inside this machine, while the block runs.

    Where this process is connected already, as in a notebook or in a task of Ray's, that connection is used and left as
    it is. Raises JobError where the cluster cannot be reached, where this process is connected to another one, or where
    this machine can never give an actor what it asks for; RunError where Ray does not start here.
    """
    if ray.is_initialized():
        _check_the_same(place.address)
        yield
    elif place.address is None:
        with _own_signal_handlers() as put_back, embedded(run, place.metrics_port, job_config=_PlainImportPath()):
            put_back()
            yield
    else:
        with quiet():
            with _own_signal_handlers() as put_back:
                _join(place.address)
                put_back()
            try:
                yield
            finally:
                with undisturbed():
                    ray.shutdown()


def _check_the_same(address: str | None) -> None:
    there = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", there):
        raise JobError(
            f"--address {address}: this process is connected to the Ray cluster at {there} already; leave the address "
            "out to use it, or call ray.shutdown() first"
        )


def _join(address: str) -> None:
    # A client's server unpickles the configuration, and may have no hardset; it puts no folder in front.
    config = None if address.startswith("ray://") else _PlainImportPath()
    try:
        ray.init(address=address, job_config=config, log_to_driver=False, logging_level=LEVEL)
    except AuthenticationError as error:
        raise JobError(f"--address {address}: the cluster wants a token, or another one ({one_line(error)})") from None
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise JobError(f"--address {address}: no Ray cluster answers there ({error})") from None


@contextmanager
def _own_signal_handlers() -> Iterator[Callable[[], None]]:
    """Puts the caller's handlers back, at the end or when asked: Ray 2.60 installs one for SIGTERM, which exits.

    Until then Ray is kept from installing it, as a signal may come while Ray starts.
    """
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}

    def put_back() -> None:
        ray._private.utils.set_sigterm_handler = own
        for number, handler in before.items():
            signal.signal(number, handler)

    own, ray._private.utils.set_sigterm_handler = ray._private.utils.set_sigterm_handler, lambda _: None
    try:
        yield put_back
    finally:
        put_back()
