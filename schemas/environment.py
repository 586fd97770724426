"""Settings by environment variables: single ones, and declared records whose values they may set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError

Settings = TypeVar("Settings", bound=Spec)
PREFIX = "HARDSET_"
"""What the names of all variables begin with that hardset itself reads."""


@dataclass(frozen=True)
class Variable:
    """A single variable, which is no part of a declared record."""

    name: str
    default: str
    """What holds where it is unset, in words."""
    meaning: str

    def read(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """Its value; None where it is unset."""
        return environment.get(self.name)


CACHE = Variable(
    f"{PREFIX}CACHE",
    "hardset in the user's cache folder",
    "Folder in which digests of local source files are remembered from one plan to the next; empty: none are.",
)
KEY_PASSWORD = Variable(
    f"{PREFIX}KEY_PASSWORD",
    "no password",
    "Password of the private key that `hardset sign` is given, where it has one.",
)


def from_environment(kind: type[Settings], variables: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """A record with the environment's values in place of its defaults. `variables`: names of variables by field.

    Raises JobError, which names the variable, for a value that its field does not take.
    """
    given = {key: environment[name] for key, name in variables.items() if environment.get(name)}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise JobError(f"{variables[str(fault['loc'][0])]}: got {fault['input']!r}: {fault['msg']}") from None
