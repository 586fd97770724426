"""Names of attacks: those of the table, those that installed packages bring, and import paths of declarations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from hardset.schemas.extensions import KnownName
from hardset.schemas.job.attacks import ATTACKS

WORST_OF = "worst_of"
"""The attack that has no norm: a recipe of its own, also value of `op` and of `found_by`."""


def _with_a_norm(name: Any) -> Any:
    if name == WORST_OF:
        raise ValueError(
            f"{WORST_OF} has no norm: it stands among a job's recipes, with ops and tries, and in an evaluation under "
            f"{WORST_OF}"
        )
    return name


ATTACK_NAMES = KnownName(tuple(ATTACKS), "hardset.attacks", beside=(WORST_OF,))
AttackName = Annotated[str, ATTACK_NAMES, BeforeValidator(_with_a_norm)]
"""The name of an attack. One that an installed package brings becomes its import path, so that records can be read
where the package is not installed. Where a path leads is seen when it is followed, which runs its code."""
