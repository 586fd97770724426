"""`hardset augmentations`: the augmentation operations there are, their settings, defaults and papers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hardset.jobs.terminal.options import AsJson

if TYPE_CHECKING:
    from hardset.schemas.job.operations.base import OperationSettings

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="An operation, or its import path: shows all its settings.")
]


def augmentations(name: Name = None, as_json: AsJson = False) -> None:
    """List the augmentation operations, or all settings of the operation NAME with defaults and units.

    NAME may be the import path of an operation, which is then imported. Writes nothing. Returns 0.
    """
    from hardset.jobs.telling.augmentations import CATALOGUE
    from hardset.jobs.telling.catalogue import tell

    tell(CATALOGUE, name, _imported, as_json=as_json)


def _imported(path: str) -> type[OperationSettings]:
    from hardset.pipeline.augment.table import operation

    return operation(path, at="NAME").settings
