"""A user's declarations of sources, operations and methods: found by import path, checked, and their code named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from hardset.pipeline.extensions.code_digest import code_digest
from hardset.pipeline.extensions.imports import by_path
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.reading.faults import sentences

Declaration = TypeVar("Declaration")
Settings = TypeVar("Settings", bound=Spec)


def find(path: str, kind: type[Declaration], *, at: str) -> Declaration:
    """The declaration that an import path stands for. Raises JobError, which begins with `at`, the key that names it.

    Runs the user's code, by importing it.
    """
    try:
        found = by_path(path)
    except (ImportError, AttributeError) as error:
        raise JobError(f"{at}: {error}") from None
    if not isinstance(found, kind):
        raise JobError(f"{at}: {path} is a {type(found).__name__}; wants a {kind.__module__}.{kind.__qualname__}")
    return found


def settled(kind: type[Settings], given: Mapping[str, Any], *, at: str) -> Settings:
    """Settings as their own declaration reads them, with its defaults. Raises JobError, one line per fault."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        lines = sentences(error, kind, given)
        raise JobError("\n".join(f"{at}.{line}" for line in lines)) from None


def code_version(path: str, kind: type[Any]) -> int | dict[str, str]:
    """The version of the code at an import path, as keys of shards hold it.

    The number that `kind`, the class of its settings, declares as `code`; else the digest of its code, so that an
    edit makes the rows anew. Raises JobError where there is no such module.
    """
    declared = vars(kind).get("code")
    return declared if isinstance(declared, int) else code_of(path)


def code_of(path: str) -> dict[str, str]:
    """The digest of the code at an import path, as `code_digest`. Raises JobError where there is no such module."""
    try:
        return code_digest(path.partition(":")[0])
    except ImportError as error:
        raise JobError(f"{path}: {error}") from None
