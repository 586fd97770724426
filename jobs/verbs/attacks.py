"""`hardset attacks`: the attacks there are, their settings, defaults and papers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hardset.jobs.terminal.options import AsJson

if TYPE_CHECKING:
    from hardset.schemas.job.attack_declaration import AttackDeclaration

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="An attack, or its import path: shows all its settings.")
]


def attacks(name: Name = None, as_json: AsJson = False) -> None:
    """List the attacks, or all settings of the attack NAME with defaults and units.

    NAME may be the import path of a declaration, which is then imported. Writes nothing. Returns 0.
    """
    from hardset.jobs.telling.attacks import CATALOGUE
    from hardset.jobs.telling.catalogue import tell

    tell(CATALOGUE, name, _imported, as_json=as_json)


def _imported(path: str) -> AttackDeclaration:
    from hardset.pipeline.attacks.declared import declaration_of

    return declaration_of(path, at="NAME")
