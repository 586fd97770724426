"""The options that bound what a start of a run may do, and what it does where another run is at work."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class IfHeld(StrEnum):
    """What to do where another run holds the output."""

    FAIL = "fail"
    WAIT = "wait"
    SKIP = "skip"


MaxRows = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Make at most N rows, then stop with exit code 4; the next start goes on."),
]
MaxMinutes = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        metavar="M",
        help="Stop after M minutes with exit code 4: no shard begins that would take longer; the next start goes on.",
    ),
]
WhenHeld = Annotated[
    IfHeld,
    typer.Option(
        help="Where another run holds the output: fail with exit code 5, wait for its end and go on from there, or "
        "skip with exit code 0.",
    ),
]
