"""The options that say which night a run stands for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from hardset.schemas.errors import JobError

LogicalDate = Annotated[
    str | None,
    typer.Option(
        "--logical-date",
        metavar="DATE",
        help="The night the run stands for, such as 2026-11-25, or auto for today. Part of the run id, and what "
        "{date} in source.path, output.path and weights stands for. Without it, the job's own.",
    ),
]
TimeZone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Whose today auto is, such as Europe/Berlin; UTC where none is given."),
]


def dated(overrides: Sequence[str] | None, date: str | None, time_zone: str | None) -> list[str]:
    """`overrides` of a job file, and one more for the logical date where the options give one. Raises JobError."""
    from hardset.schemas.dates import logical_date

    if date is None and time_zone is not None:
        raise JobError("--time-zone: only counts with --logical-date auto; add that, or leave it out")
    given = [] if date is None else [f"logical_date={logical_date(date, time_zone, datetime.now(UTC))}"]
    return [*(overrides or ()), *given]
