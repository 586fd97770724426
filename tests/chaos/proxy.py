"""An S3 API that fails on demand: a proxy of our own in front of moto's server, at the level of bytes on a socket."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

STORE_FAULTS = (
    "request cut at byte k",
    "answer cut at byte k",
    "answer lost",
    "throttled",
    "server error",
    "slow store",
)
"""Faults of the table that strike single requests."""
SLOW_SECONDS = 0.5
_REFUSALS = {"throttled": (503, "SlowDown"), "server error": (500, "InternalError")}
_HOP = ("connection", "transfer-encoding", "keep-alive", "content-length")
"""Headers that belong to one connection."""


@dataclass
class Haunting:
    """Which of the next requests fail, and how."""

    random: Random
    faults: tuple[str, ...]
    left: int
    """Requests that are still to fail."""
    one_in: int
    """How often, on average."""
    note: Callable[[str], None]
    _turns: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self) -> str | None:
        """The fault of the next request, if it has one; each has its turn before one has a second."""
        with self._lock:
            if self.left <= 0 or self.random.randrange(self.one_in):
                return None
            self.left -= 1
            self._turns = self._turns or self.random.sample(self.faults, len(self.faults))
            fault = self._turns.pop()
            self.note(fault)
            return fault

    def byte(self, size: int) -> int:
        """At which byte, of `size`, it is cut."""
        with self._lock:
            return self.random.randrange(size) if size else 0


class FaultyStore:
    """The proxy. Without a haunting it passes everything on."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.haunting: Haunting | None = None
        self.gone = False
        """Whether it resets every connection."""
        self.one_at_a_time = threading.Lock()
        """moto looks for an object and then stores it; S3 does both in one act."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.store = self
        threading.Thread(target=self._server.serve_forever, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def haunted(
        self, random: Random, note: Callable[[str], None], *, times: int, one_in: int, faults: tuple[str, ...]
    ) -> Iterator[Haunting]:
        """Lets `times` requests fail, one in `one_in`, while the context lasts."""
        self.haunting = Haunting(random, faults, times, one_in, note)
        try:
            yield self.haunting
        finally:
            self.haunting = None

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Resets every connection while the context lasts."""
        self.gone = True
        try:
            yield
        finally:
            self.gone = False

    def stop(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    store: FaultyStore

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        store = self.server.store
        haunting = store.haunting
        fault = haunting.draw() if haunting else None
        length = int(self.headers.get("Content-Length") or 0)
        if store.gone:
            return self._reset()
        if haunting and fault == "request cut at byte k":
            self.rfile.read(haunting.byte(length))
            return self._reset()
        body = self.rfile.read(length)
        if fault in _REFUSALS:
            return self._refuse(*_REFUSALS[fault])
        status, headers, content = self._forward(body)
        if fault == "answer lost":
            return self._reset()
        if fault == "slow store":
            time.sleep(SLOW_SECONDS)
        cut = haunting.byte(len(content)) if haunting and fault == "answer cut at byte k" else None
        self._answer(status, headers, content, cut)
        return None

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815  the names that http.server looks for

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(*self.server.store.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        with self.server.store.one_at_a_time:
            upstream.request(self.command, self.path, body or None, headers | {"Content-Length": str(len(body))})
            answer = upstream.getresponse()
            content = answer.read()
        upstream.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
        size = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        return answer.status, [*kept, ("Content-Length", size)], content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: int | None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:cut])
        if cut is not None:
            self._reset()

    def _refuse(self, status: int, code: str) -> None:
        told = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>chaos</Message></Error>'.encode()
        content = b"" if self.command == "HEAD" else told
        self._answer(
            status, [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))], content, None
        )

    def _reset(self) -> None:
        """Closes the connection so that the client sees it broken, not ended."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing: requests are many."""
