"""`hardset augmentations`: the augmentation operations there are, their settings, defaults and papers."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import console, give
from hardset.jobs.terminal.options import AsJson
from hardset.schemas.errors import JobError

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="An operation, or its import path: shows all its settings.")
]


def augmentations(name: Name = None, as_json: AsJson = False) -> None:
    """List the augmentation operations, or all settings of the operation NAME with defaults and units.

    NAME may be the import path of an operation, which is then imported. Writes nothing. Returns 0.
    """
    from hardset.jobs.telling.augmentations import show_all, show_one
    from hardset.schemas.job.operations.documentation import OPERATION_NAMES, facts_of
    from hardset.schemas.job.operations.table import BY_NAME

    if name is None:
        if as_json:
            give({"augmentations": [facts_of(one, settings) for one, settings in BY_NAME.items()]}, as_json=True)
        else:
            show_all(console)
        return
    try:
        name = OPERATION_NAMES.known(name)
    except ValueError as error:
        hint = str(error).rpartition("; ")[2]
        raise JobError(f"{name}: no such operation; {hint} (`hardset augmentations` lists them)") from None
    settings = BY_NAME.get(name)
    if settings is None:
        from hardset.pipeline.augment.table import operation

        settings = operation(name, at="NAME").settings
    if as_json:
        give({"augmentations": [facts_of(name, settings)]}, as_json=True)
    else:
        show_one(name, settings, console)
