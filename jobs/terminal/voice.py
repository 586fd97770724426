"""How a command speaks while it works: in sentences on stdout, or one JSON object a line on stderr for log collectors.

JSON lines go to stderr, so that the result that `--json` leaves stays the last line of stdout.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Protocol

import typer

from hardset.jobs.terminal.console import complain, say

LOGGER = "hardset"
_log = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """How progress, warnings and events are told."""

    TEXT = "text"
    JSON = "json"


Logs = Annotated[
    LogFormat,
    typer.Option(
        "--log-format", help="text: sentences; json: one JSON object a line on stderr, each shard one of them."
    ),
]


def format_of(arguments: Sequence[str]) -> LogFormat:
    """The log format that a command line asks for, also one that cannot be parsed."""
    wanted = f"--log-format={LogFormat.JSON}" in arguments or ("--log-format", LogFormat.JSON) in pairwise(arguments)
    return LogFormat.JSON if wanted else LogFormat.TEXT


class Voice(Protocol):
    """Says what happens: `text` for people, `event` and `fields` for machines."""

    def say(self, text: str, event: str, **fields: Any) -> None:
        """How it goes."""

    def warn(self, text: str, **fields: Any) -> None:
        """What somebody should look at."""

    def note(self, text: str, event: str, **fields: Any) -> None:
        """What becomes of a signal, or why the command ends: on stderr."""


@contextmanager
def speaking(log_format: LogFormat) -> Iterator[Voice]:
    """The voice of a command; with `json` also what the library logs is told, from INFO on, while the block runs."""
    if log_format is LogFormat.TEXT:
        yield _Sentences()
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield _Lines()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class JsonLines(logging.Formatter):
    """A log record as one JSON object in one line: time, level, event, message, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": "log",
            "message": record.getMessage(),
            "logger": record.name,
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)


class _Sentences:
    def say(self, text: str, event: str, **fields: Any) -> None:
        say(text)

    def warn(self, text: str, **fields: Any) -> None:
        say(f"Warning: {text}")

    def note(self, text: str, event: str, **fields: Any) -> None:
        complain(text)


class _Lines:
    def say(self, text: str, event: str, **fields: Any) -> None:
        _log.info(text, extra={"fields": {"event": event, **fields}})

    def warn(self, text: str, **fields: Any) -> None:
        _log.warning(text, extra={"fields": {"event": "warning", **fields}})

    def note(self, text: str, event: str, **fields: Any) -> None:
        level = logging.ERROR if event == "failed" else logging.WARNING
        _log.log(level, text, extra={"fields": {"event": event, **fields}})
