"""A question put to a copy of this process, so that what ends the copy does not end the run."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

from hardset.pipeline.cluster.undisturbed import SIGNALS
from hardset.schemas.errors import UserError, one_line

_SIGNAL_AT_DEATH_OF_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""
Found = TypeVar("Found")


class ApartError(Exception):
    """The copy ended, or was ended, without an answer."""


def apart(question: Callable[[], Found], *, seconds: float) -> Found:
    """The answer of `question`, found in a forked copy with one thread; UserError as it raises it there.

    The copy leaves signals that ask for an end to this process, and never outlives it. Where no process can be forked
    safely, which is everywhere but on Linux and once CUDA is in use, it is asked here. Raises ApartError where the copy
    dies, raises anything else, or takes longer than `seconds`.
    """
    if sys.platform != "linux" or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return question()
    reader, writer = multiprocessing.Pipe(duplex=False)
    sys.stdout.flush()
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        reader.close()
        _answer(question, writer, parent)
    writer.close()
    try:
        return _heard(reader, seconds)
    finally:
        reader.close()
        _end(child)


def _end_with(parent: int) -> None:
    """Has the system end this copy when `parent` ends, however it does; signals that ask for an end are left to it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_SIGNAL_AT_DEATH_OF_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before it was asked
        os._exit(0)


def _answer(question: Callable[[], object], writer: Connection, parent: int) -> None:
    """Sends the answer and ends the copy, without anything that this process does at its own end."""
    try:
        _end_with(parent)
        gc.disable()
        # Threads do not survive a fork; torch's pool would wait for them for ever.
        torch.set_num_threads(1)
        try:
            answer: tuple[str, object] = ("found", question())
        except UserError as error:
            answer = ("raised", error)
        except Exception as error:  # the model is the user's code
            answer = ("failed", f"{type(error).__name__}: {one_line(error)}")
        writer.send_bytes(pickle.dumps(answer))
    finally:
        os._exit(0)


def _heard(reader: Connection, seconds: float) -> Found:  # type: ignore[type-var]  # what the copy found is the caller's
    if not reader.poll(seconds):
        raise ApartError(f"took longer than {seconds:,.0f} s")
    try:
        kind, answer = pickle.loads(reader.recv_bytes())
    except (EOFError, OSError):  # OSError: in the middle of its answer
        raise ApartError("ended its process") from None
    if kind == "failed":
        raise ApartError(f"ended its process with {answer}")
    if kind == "raised":
        raise answer
    return answer  # type: ignore[no-any-return]


def _end(child: int) -> None:
    """Waits for a copy that has answered, and ends one that has not."""
    for _ in range(20):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
