"""The log of a running job, line by line, for people: it may break off, and nothing depends on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from jobs.ray_client import Client

RETRY_S = 2.0
DRAIN_S = 3.0
"""How long the last lines may take to arrive after the job has ended."""


class LogTail:
    """Shows a job's log while the block runs. Ray ends the stream of a running job now and then (ray#57002)."""

    def __init__(self, client: Client, submission_id: str, show: Callable[[str], None]) -> None:
        self._client = client
        self._id = submission_id
        self._show = show
        self._seen = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-tail", daemon=True)

    def __enter__(self) -> LogTail:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if error is None:
            self._thread.join(DRAIN_S)

    def _run(self) -> None:
        while True:
            # Whatever breaks the stream, the status decides.
            with suppress(Exception):
                asyncio.run(self._stream())
            if self._over.wait(RETRY_S):
                return

    async def _stream(self) -> None:
        """A stream begins with the first line again; what was shown is skipped."""
        position = 0
        async for text in self._client.ray.tail_job_logs(self._id):
            position += len(text)
            if position > self._seen:
                self._show(text[len(text) - (position - self._seen) :] if position - len(text) < self._seen else text)
                self._seen = position
