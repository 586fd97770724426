"""The command that a submitted job runs on the cluster, and what its job file may not say there."""

from __future__ import annotations

import shlex
from importlib.resources import files

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.places import relative_places

START = "hardset.sh"
"""Name, in the job's working folder, of the script that finds the cluster's interpreter and runs hardset by it."""
GENERATE = f"sh {START} generate job.yaml --address auto --json"
"""What the cluster runs, in a folder that holds the resolved job file. Asks for no resources, so stays on the head."""


def start_script() -> str:
    """The text of the script."""
    return files("hardset.jobs.cluster").joinpath("start.sh").read_text(encoding="utf-8")


def entrypoint(**options: object) -> str:
    """The command line that runs on the cluster.

    `options` of `hardset generate` by name; None or False leaves one out, True is a flag.
    """
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return " ".join([GENERATE, *(_option(name, value) for name, value in given.items())])


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
