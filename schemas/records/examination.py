"""What `hardset doctor` found: machine, libraries, cluster and the places of a job, each with its remedy."""

from __future__ import annotations

from typing import Literal

from hardset.schemas.base import Spec

State = Literal["ok", "absent", "warning", "failed"]


class Check(Spec):
    """One thing that was looked at."""

    name: str
    """Name of it, such as "memory" or, of a job, the key, such as "output.path"."""
    state: State
    """ok: usable. absent: not there, and not needed. warning: usable, and something will go badly. failed: what hardset
    or the job needs is not usable."""
    told: str
    """What was found, in one sentence."""
    remedy: str | None = None
    """What to do about it; None where nothing has to be done, or `told` says it."""


class Examined(Spec):
    """Result of `hardset doctor`."""

    status: Literal["usable", "failed"]
    checks: tuple[Check, ...]
    """All checks, in their order."""
    exit_code: Literal[0, 2]

    @classmethod
    def of(cls, checks: tuple[Check, ...]) -> Examined:
        """The result of checks: failed where one is."""
        failed = any(check.state == "failed" for check in checks)
        return cls(status="failed" if failed else "usable", checks=checks, exit_code=2 if failed else 0)
