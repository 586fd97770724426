"""What a command says: plain sentences for people, one JSON object for machines, exit codes for schedulers."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from hardset.schemas.text import CONTROLS, printable

if TYPE_CHECKING:
    from hardset.schemas.base import Spec


class Exit(IntEnum):
    """What a scheduler may rely on."""

    DONE = 0
    """Done, or nothing to do."""
    FAILED = 1
    """The work could not be done, or a check failed."""
    BAD_JOB = 2
    """The job file or an argument cannot be used."""
    PARTIAL = 3
    """Finished, with quarantined rows or failed shards."""
    STOPPED = 4
    """Stopped by a signal or at the end of its budget; start again to go on."""
    HELD = 5
    """Another run holds the output, or has taken it over: that one is doing the work."""


# Without a terminal nobody is helped by lines broken at 80 columns, least of all grep.
_WIDTH = None if sys.stdout is not None and sys.stdout.isatty() else 200

console = Console(highlight=False, soft_wrap=True, width=_WIDTH)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A plain line on stdout; what a terminal would obey in it is replaced."""
    console.print(printable(text), markup=False)


def complain(text: str) -> None:
    """The same on stderr."""
    errors.print(printable(text), markup=False)


def give(result: Spec | dict[str, Any], *, as_json: bool) -> None:
    """The machine's answer, last on stdout, where it was asked for."""
    if as_json:
        record = result if isinstance(result, dict) else result.model_dump(mode="json")
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        typer.echo(
            CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        )  # JSON itself escapes those below U+0020


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,048 rows`, `10 classes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
