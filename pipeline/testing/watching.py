"""Record of the files that a piece of code opens, by Python's audit events (PEP 578)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hardset.schemas.environment import CACHE

_open: list[list[str]] = []


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Real paths of the files that the process opens inside the block.

    Files of Python and its packages, of the system (/proc, /sys, /dev, /etc) and of the cache of digests do not count.
    """
    _listen()
    found: list[str] = []
    _open.append(found)
    try:
        yield found
    finally:
        _open.remove(found)


@cache
def _listen() -> None:
    """Once in a process, as an audit hook cannot be taken back; it does nothing while nobody watches."""
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _open or not isinstance(arguments[0], str):
        return
    path = os.path.realpath(arguments[0])
    if not path.startswith(_ignored()):
        for found in _open:
            found.append(path)


def _ignored() -> tuple[str, ...]:
    cached = CACHE.read() or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    places = (sys.prefix, sys.base_prefix, *filter(None, sys.path), cached)
    return (*map(os.path.realpath, places), "/proc", "/sys", "/dev", "/etc")
