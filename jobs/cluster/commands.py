"""The command that a submitted job runs on the cluster, and what its job file may not say there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job

GENERATE = "generate job.yaml --address auto --json"
"""What the cluster runs, in a folder that holds the resolved job file. Asks for no resources, so stays on the head."""
COMMANDS = {True: "python -P -m hardset", False: "hardset"}
"""By whether the code of hardset goes along. -P: the working folder does not come first on the import path."""


def entrypoint(*, ship: bool = True, **options: object) -> str:
    """The command line that runs on the cluster. `options` of `hardset generate` by name; None leaves one out."""
    given = {name.replace("_", "-"): str(value) for name, value in options.items() if value is not None}
    return " ".join([COMMANDS[ship], GENERATE, *(f"--{name} {shlex.quote(value)}" for name, value in given.items())])


def refuse_relative_paths(job: Job, *, name: str) -> None:
    """Raises JobError for a path that would mean a folder of the driver's scratch space on the cluster."""
    faults = [
        f"{name}: {path}: got {value!r}; on a cluster it wants a URL, or an absolute path that every node sees"
        for path, value in _places(job.model_dump(mode="json"))
        if "://" not in value and not Path(value).is_absolute()
    ]
    if faults:
        raise JobError("\n".join(faults))


def _places(node: Any, path: str = "") -> list[tuple[str, str]]:
    """Key path and value of every file or folder that a job names."""
    if isinstance(node, list):
        return [place for i, item in enumerate(node) for place in _places(item, f"{path}{i}.")]
    if not isinstance(node, dict):
        return []
    here = [(f"{path}{k}", v) for k, v in node.items() if k in ("path", "weights") and isinstance(v, str)]
    inner = ((k, v) for k, v in node.items() if k != "arguments")  # what a factory takes is its own affair
    return here + [place for k, v in inner for place in _places(v, f"{path}{k}.")]
