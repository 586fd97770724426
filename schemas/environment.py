"""Declared records whose values environment variables may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError

Settings = TypeVar("Settings", bound=Spec)


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
