"""Names of attacks: those of the table, those that installed packages bring, and import paths of declarations."""

from __future__ import annotations

import difflib
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hardset.schemas.extensions import IMPORT_PATH_PATTERN
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.reading.slots import SHORT_LIST, one_of

ENTRY_POINTS = "hardset.attacks"
"""Group of entry points under which an installed package names its attacks."""


def is_import_path(name: str) -> bool:
    """Whether a name is `package.module:object`."""
    return re.fullmatch(IMPORT_PATH_PATTERN, name) is not None


def brought() -> dict[str, EntryPoint]:
    """The attacks that installed packages bring, by name; none of their code is imported."""
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINTS)) if point.name not in ATTACKS}


def known_name(name: str) -> str:
    """The name of the table, or the import path, that `name` stands for; runs no code.

    Raises ValueError, which says what names there are, where it stands for nothing.
    """
    if name in ATTACKS or is_import_path(name):
        return name
    others = brought()
    if name in others:
        return others[name].value.replace(" ", "")
    names = [*ATTACKS, *others]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {one_of(near)}?" if near else "one from elsewhere is named by its import path, package:attack"
    listed = one_of(names) if len(names) <= SHORT_LIST else f"one of {len(names)} names; `hardset attacks` lists them"
    raise ValueError(f"wants {listed}; {hint}")


class _Known:
    """The check behind `AttackName`, and its JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(known_name, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "anyOf": [{"enum": [*ATTACKS, *brought()]}, {"pattern": IMPORT_PATH_PATTERN}]}


AttackName = Annotated[str, _Known()]
"""The name of an attack. One that an installed package brings becomes its import path, so that records can be read
where the package is not installed. Where a path leads is seen when it is followed, which runs its code."""
