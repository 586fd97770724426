"""The command that a submitted job runs on the cluster, and what its job file may not say there."""

from __future__ import annotations

import shlex

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.places import relative_places

GENERATE = "generate job.yaml --address auto --json"
"""What the cluster runs, in a folder that holds the resolved job file. Asks for no resources, so stays on the head."""
COMMANDS = {True: "python -P -m hardset", False: "hardset"}
"""By whether the code of hardset goes along. -P: the working folder does not come first on the import path."""


def entrypoint(*, ship: bool = True, **options: object) -> str:
    """The command line that runs on the cluster.

    `options` of `hardset generate` by name; None or False leaves one out, True is a flag.
    """
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return " ".join([COMMANDS[ship], GENERATE, *(_option(name, value) for name, value in given.items())])


def _option(name: str, value: object) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {shlex.quote(str(value))}"


def refuse_relative_paths(job: Job, *, name: str) -> None:
    """Raises JobError for a path that would mean a folder of the driver's scratch space on the cluster."""
    faults = [
        f"{name}: {path}: got {value!r}; on a cluster it wants a URL, or an absolute path that every node sees"
        for path, value in relative_places(job)
    ]
    if faults:
        raise JobError("\n".join(faults))
