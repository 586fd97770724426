"""Names of attacks: those of the table, those that installed packages bring, and import paths of declarations."""

from __future__ import annotations

from typing import Annotated

from hardset.schemas.extensions import KnownName
from hardset.schemas.job.attacks import ATTACKS

ATTACK_NAMES = KnownName(tuple(ATTACKS), "hardset.attacks")
AttackName = Annotated[str, ATTACK_NAMES]
"""The name of an attack. One that an installed package brings becomes its import path, so that records can be read
where the package is not installed. Where a path leads is seen when it is followed, which runs its code."""
