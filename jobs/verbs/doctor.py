"""`hardset doctor`: whether this machine, or a cluster, can run a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardset.jobs.terminal.console import give, say
from hardset.jobs.terminal.options import AsJson, Overrides, RayAddress


def doctor(
    job: Annotated[
        Path | None,
        typer.Argument(metavar="[JOB]", help="The job file, also of an evaluation.", show_default=False),
    ] = None,
    address: RayAddress = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check that this machine, or the cluster at --address, can run JOB: a line for each thing, with its remedy.

    Looks at Python, libraries, extras, devices, memory and Ray, which it starts and ends. With JOB also reads its
    source and weights, and writes, conditionally creates and deletes a file below its output. Returns 0 when all that
    is needed is usable, else 2.
    """
    from hardset.jobs.api.doctor import examine
    from hardset.jobs.telling.doctor import line, tell

    found = examine(job, overrides=overrides or (), address=address, on_check=lambda check: say(line(check)))
    tell(found)
    give(found, as_json=as_json)
    raise typer.Exit(found.exit_code)
