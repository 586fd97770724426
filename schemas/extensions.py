"""A user's own code in a job: named by import path, or by an installed entry point that stands for one.

Records name such code too, and reading a record must never run it: what the code itself declares is checked where the
code is loaded, in the pipeline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from operator import or_
from typing import Annotated, Any, ClassVar

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hardset.schemas.base import Spec
from hardset.schemas.digests import canonical_json
from hardset.schemas.reading.wording import OWN, listed, near

IMPORT_PATH_PATTERN = r"^[\w.]+:[\w.]+$"
ImportPath = Annotated[str, Field(pattern=IMPORT_PATH_PATTERN, examples=["package.module:function"])]


def is_import_path(name: str) -> bool:
    """Whether a name is `package.module:object`."""
    return re.fullmatch(IMPORT_PATH_PATTERN, name) is not None


def brought(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, as installed distributions have them.

    Reads metadata alone, and imports nothing.
    """
    return {point.name: point for point in sorted(entry_points(group=group))}


def path_of_entry_point(group: str, name: str) -> str | None:
    """Import path behind an entry point; None where no installed distribution has that one."""
    point = brought(group).get(name)
    return None if point is None else point.value.replace(" ", "")


class Extension(Spec):
    """Code of a user's own with the settings it was given, as text, numbers, booleans, lists and mappings.

    A subclass has a field, `key`, that names the code. It holds an import path once it is validated, so that a record
    can be read where the entry point is not installed. What was not given is not written either: its default is the
    code's own.
    """

    model_config = ConfigDict(extra="allow")

    key: ClassVar[str]
    """Name of the field that names the code."""
    group: ClassVar[str]
    """Group of the entry points that may stand for an import path."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        own = {name: value for name, value in document.items() if name not in cls.model_fields}
        try:
            found: dict[str, Any] = {**document, **json.loads(canonical_json(own))}
        except (TypeError, ValueError, RecursionError):
            raise ValueError("wants text, finite numbers, booleans, lists and mappings only") from None
        name = found.get(cls.key)
        path = path_of_entry_point(cls.group, name) if isinstance(name, str) and ":" not in name else None
        return found if path is None else {**found, cls.key: path}

    @model_serializer(mode="wrap")
    def _as_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        given = {*self.model_fields_set, *(self.model_extra or ())}
        return {name: value for name, value in write(self).items() if name in given}

    @property
    def import_path(self) -> str:
        """Import path of the code."""
        return str(getattr(self, self.key))


@dataclass(frozen=True)
class KnownName:
    """Marks a name as one of a table's, that of an entry point, or an import path.

    The name of an entry point becomes the import path that it stands for. Where a path leads is seen when it is
    followed, which runs its code.
    """

    names: tuple[str, ...]
    group: str
    beside: tuple[str, ...] = ()
    """Names of another record's, which sentences list, too."""

    def brought(self) -> dict[str, EntryPoint]:
        """Entry points whose names are not in the table, which come first."""
        return {name: point for name, point in brought(self.group).items() if name not in self.names}

    def known(self, name: str) -> str:
        """The name of the table, or the import path, that `name` stands for. Raises ValueError: it stands for none."""
        if name in self.names or is_import_path(name):
            return name
        path = path_of_entry_point(self.group, name)
        if path is not None:
            return path
        names = (*self.names, *self.beside, *self.brought())
        raise ValueError(f"wants {listed(names)}{OWN}{near(name, names)}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "anyOf": [{"enum": [*self.names, *self.brought()]}, {"pattern": IMPORT_PATH_PATTERN}]}


@dataclass(frozen=True)
class ByName:
    """Tells the members of an open union apart: declared ones by their names, and any import path as the extension."""

    __name__ = "by_name"  # pydantic asks a discriminator for it

    key: str
    names: frozenset[str]
    extension: type[Extension]

    def __call__(self, value: Any) -> str | None:
        """Tag of the member that `value`, a document or a record, is meant for; None where it bears no name."""
        held = value if isinstance(value, Mapping) else value.__dict__ if isinstance(value, Spec) else {}
        name = held.get(self.key)
        if name is None:
            return None
        return self.extension.__name__ if self._is_own(name) else str(name)

    def _is_own(self, name: Any) -> bool:
        if not isinstance(name, str) or name in self.names:
            return False
        return ":" in name or path_of_entry_point(self.extension.group, name) is not None


def open_union(declared: Sequence[type[Spec]], extension: type[Extension]) -> Any:
    """Type of a record of one of the `declared` kinds, told by the default of their key, or else of the `extension`."""
    named = {str(kind.model_fields[extension.key].default): kind for kind in declared}
    members = [Annotated[kind, Tag(name)] for name, kind in named.items()]
    union = reduce(or_, [*members, Annotated[extension, Tag(extension.__name__)]])
    return Annotated[union, Discriminator(ByName(extension.key, frozenset(named), extension))]
