"""OpenLineage events on their way to a server, where `openlineage-python` is installed and configured.

A server that is slow, away or broken costs a run `CAP` seconds at most and never its success: events leave in a
daemon thread, and the run's own record of them is `openlineage.jsonl`.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

CAP = 5.0
"""Seconds that the end of a run waits for its events to leave."""
Event = dict[str, Any]


@contextmanager
def emitting(warn: Callable[[str], None], *, cap: float = CAP) -> Iterator[Callable[[Event], None]]:
    """Yields a function that sends an event and returns at once; waits at the end, `cap` seconds at most, for all.

    `warn` is told in one sentence where events could not be sent. Without a configuration nothing is sent.
    """
    if not configured(os.environ):
        yield lambda _: None
        return
    try:
        version("openlineage-python")
    except PackageNotFoundError:
        warn("OpenLineage is configured, but openlineage-python is not installed: pip install 'hardset[lineage]'")
        yield lambda _: None
        return
    sender = _Sender()
    try:
        yield sender.send
    finally:
        fault = sender.finish(cap)
        if fault:
            warn(f"OpenLineage events could not be sent ({fault}); they are in openlineage.jsonl of the run")


def configured(environment: Mapping[str, str]) -> bool:
    """Whether OpenLineage's own variables or files name a transport; its client prints events where none do."""
    if environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    named = any(environment.get(name) for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"))
    files = (Path("openlineage.yml"), Path(environment.get("HOME", ""), ".openlineage", "openlineage.yml"))
    return named or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in environment) or any(map(_is_file, files))


def _is_file(path: Path) -> bool:
    with suppress(OSError):  # such as a home that is not the user's to look into
        return path.is_file()
    return False


class _Sender:
    """A thread that hands events to OpenLineage's client, one after the other."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._fault = ""
        self._thread = Thread(target=self._work, name="openlineage", daemon=True)
        self._thread.start()

    def send(self, event: Event) -> None:
        """Hands over a copy, as the client adds facets of its own."""
        self._queue.put(copy.deepcopy(event))

    def finish(self, cap: float) -> str:
        """Waits at most `cap` seconds for the events to leave. Returns what went wrong, or nothing."""
        self._queue.put(None)
        self._thread.join(cap)
        return f"no answer within {cap:g} s" if self._thread.is_alive() else self._fault

    def _work(self) -> None:
        logging.getLogger("openlineage").addHandler(logging.NullHandler())  # else its warnings reach the terminal
        try:
            client, built = _client()
        except Exception as error:
            self._fault = type(error).__name__
            return
        for event in iter(self._queue.get, None):
            try:
                client.emit(built(event))
            except Exception as error:
                self._fault = type(error).__name__  # its text may quote a URL with credentials
        with suppress(Exception):
            client.close()  # some transports send in the background until then


def _client() -> tuple[Any, Callable[[Event], Any]]:
    from openlineage.client import OpenLineageClient  # noqa: PLC0415
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState  # noqa: PLC0415

    def built(event: Event) -> RunEvent:
        return RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            eventType=RunState[event["eventType"]],
            run=Run(**event["run"]),
            job=Job(**event["job"]),
            inputs=[InputDataset(**dataset) for dataset in event["inputs"]],
            outputs=[OutputDataset(**dataset) for dataset in event["outputs"]],
        )

    return OpenLineageClient(), built
