"""Settings of a declaration in words: for listings on a terminal and for tables of the docs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from hardset.schemas.reading.slots import describe, slot_of


@dataclass(frozen=True)
class Setting:
    """One setting of a declaration."""

    name: str
    default: Any
    """Value where none is given, as JSON holds it; None where there is none."""
    required: bool
    meaning: str
    takes: str
    """Values that may be written, in words."""

    @property
    def shown(self) -> str:
        """The default as a job file writes it, or `required`, or `unset`."""
        if self.required or self.default is None:
            return "required" if self.required else "unset"
        return written(self.default)


def setting_of(kind: type[BaseModel], name: str) -> Setting:
    """A field of a declaration in words."""
    return Setting(
        name=name,
        default=default_of(kind, name),
        required=kind.model_fields[name].is_required(),
        meaning=meaning_of(kind, name),
        takes=taken_by(kind, name),
    )


def written(value: Any) -> str:
    """A value of JSON as a job file writes it."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {written(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def meaning_of(kind: type[BaseModel], name: str) -> str:
    """What a field means: its docstring on one line."""
    return " ".join((kind.model_fields[name].description or "").split())


def taken_by(kind: type[BaseModel], name: str) -> str:
    """Values that a field takes, in words; the pattern of a text is left out."""
    return re.sub(r" \(pattern \S*\)", "", describe(slot_of(kind).field(name)))


def default_of(kind: type[BaseModel], name: str) -> Any:
    """Value of a field where none is given, as JSON holds it; None where it has to be."""
    field = kind.model_fields[name]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return to_jsonable_python(default, fallback=str)  # fractions are text in JSON


def facts(settings: Iterable[Setting]) -> dict[str, dict[str, Any]]:
    """Settings by name for machines."""
    return {
        one.name: {"default": one.default, "required": one.required, "meaning": one.meaning, "takes": one.takes}
        for one in settings
    }
