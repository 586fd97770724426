"""Standard streams that may go away at any moment, as a pipe, a terminal or a full disk does.

What can no longer be said must not end the work that it would have told of: `| head`, a log collector that died, a
terminal that was closed.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""Errors of a stream that nobody reads any more."""


class LastingStream(io.TextIOWrapper):
    """Text for a descriptor, until that refuses it; from then on its descriptor leads nowhere."""

    refusal: OSError | None = None
    """Why what was said since is lost; None while nothing is."""

    def write(self, text: str, /) -> int:
        """Number of characters that need not be written any more."""
        with self._lasting():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Sends what was written."""
        with self._lasting():
            super().flush()

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:  # a pipe that does not block and whose reader is slow: this is lost, not the rest
            pass
        except OSError as error:
            self.refusal = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


@dataclass
class Streams:
    """The standard streams of a command."""

    out: LastingStream
    err: LastingStream

    @property
    def incomplete(self) -> OSError | None:
        """Why somebody who still reads what was said has not got all of it, such as a full disk; None where he has."""
        refusals = (stream.refusal for stream in (self.out, self.err))
        return next((error for error in refusals if error is not None and error.errno not in _GONE), None)


def lasting_streams() -> Streams:
    """Puts streams that outlast their readers in the place of stdout and stderr, for the rest of the process.

    Descriptors that were closed before are opened to nowhere: the next file that is opened would get their number, and
    with it whatever libraries print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    streams = Streams(lasting(1, sys.stdout), lasting(2, sys.stderr))
    sys.stdout, sys.stderr = streams.out, streams.err
    return streams


def lasting(descriptor: int, own: TextIO | None = None) -> LastingStream:
    """The stream for what a descriptor leads to. `own`: the stream in whose place it comes."""
    if own is not None:
        with suppress(OSError):
            own.flush()
    # A descriptor of its own, so that libraries' can be redirected.
    own_descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    file = io.BufferedWriter(io.FileIO(own_descriptor, "w"))
    encoding = getattr(own, "encoding", None) or "utf-8"
    return LastingStream(file, encoding=encoding, errors="backslashreplace", line_buffering=True)
