"""`hardset attacks`: the attacks there are, their settings, defaults and papers."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import console, give
from hardset.jobs.terminal.options import AsJson
from hardset.schemas.errors import JobError

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="An attack, or its import path: shows all its settings.")
]


def attacks(name: Name = None, as_json: AsJson = False) -> None:
    """List the attacks, or all settings of the attack NAME with defaults and units.

    NAME may be the import path of a declaration, which is then imported. Writes nothing. Returns 0.
    """
    from hardset.jobs.telling.attacks import show_all, show_one
    from hardset.schemas.job.attack_documentation import facts_of
    from hardset.schemas.job.attack_names import ATTACK_NAMES
    from hardset.schemas.job.attacks import ATTACKS

    if name is None:
        if as_json:
            give({"attacks": [facts_of(one, declared) for one, declared in ATTACKS.items()]}, as_json=True)
        else:
            show_all(console)
        return
    try:
        name = ATTACK_NAMES.known(name)
    except ValueError as error:
        hint = str(error).rpartition("; ")[2]
        raise JobError(f"{name}: no such attack; {hint} (`hardset attacks` lists them)") from None
    declared = ATTACKS.get(name)
    if declared is None:
        from hardset.pipeline.attacks.declared import declaration_of

        declared = declaration_of(name, at="NAME")
    if as_json:
        give({"attacks": [facts_of(name, declared)]}, as_json=True)
    else:
        show_one(name, declared, console)
