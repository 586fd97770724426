"""Where functions send what should be told while they work, where the caller names no place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger("hardset")

Warn = Callable[[str], None]
"""Takes a sentence that somebody should look at."""


def warner(on_warning: Warn | None) -> Warn:
    """`on_warning`, or what logs warnings to the logger `hardset`; each sentence is told once."""
    told: set[str] = set()

    def warn(text: str) -> None:
        if text not in told:
            told.add(text)
            (on_warning or _log.warning)(text)

    return warn


def nothing(*_: Any) -> None:
    """Takes progress that nobody asked for."""
