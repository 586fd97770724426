"""The log of a running job, as it grows, for people: it may break off, and nothing depends on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from hardset.jobs.cluster.client import Client

RETRY_S = 2.0


class LogTail:
    """Shows a job's log while the block runs. Ray ends the stream of a running job now and then (ray#57002)."""

    def __init__(self, client: Client, submission_id: str, show: Callable[[str], None], *, seen: int = 0) -> None:
        """`seen`: characters of the log that were shown before."""
        self._client = client
        self._id = submission_id
        self._show = show
        self._seen = seen
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> LogTail:
        threading.Thread(target=self._run, name="log-tail", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The stream of a job that has ended stays open for another two seconds: not worth the wait.
        self._over.set()

    def show_rest(self, log: str) -> None:
        """Shows what of the whole log the stream did not bring."""
        with self._lock:
            if rest := log[self._seen :]:
                self._show(rest)
            self._seen = len(log)

    def _run(self) -> None:
        while not self._over.is_set():
            # Whatever breaks the stream, the status decides.
            with suppress(Exception):
                asyncio.run(self._stream())
            self._over.wait(RETRY_S)

    async def _stream(self) -> None:
        """A stream begins with the first line again; what was shown is skipped."""
        position = 0
        async for text in self._client.ray.tail_job_logs(self._id):
            with self._lock:
                if self._over.is_set():
                    return
                fresh = text[max(self._seen - position, 0) :]
                position += len(text)
                self._seen = max(self._seen, position)
                if fresh:
                    self._show(fresh)
