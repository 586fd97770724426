"""The base of every declared record: frozen, and closed to unknown keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

BOOLEAN_FOR_NUMBER = "boolean_for_number"
"""Error type of pydantic for a boolean where none is allowed; its context holds the key."""


class Spec(BaseModel):
    """Declared record: immutable; refuses unknown keys, NaN, infinities, and booleans in place of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _boolean_is_no_number(cls, document: Any) -> Any:
        # YAML reads `yes` and `on` as booleans, and pydantic would take true for 1.
        for key, value in document.items() if isinstance(document, Mapping) else ():
            values = value if isinstance(value, list | tuple) else (value,)
            field = cls.model_fields.get(key) if isinstance(key, str) else None
            if field and any(isinstance(v, bool) for v in values) and not _takes_booleans(field.annotation):
                raise PydanticCustomError(BOOLEAN_FOR_NUMBER, "wants no boolean", {"key": key})
        return document


def _takes_booleans(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_takes_booleans, get_args(annotation)))


class Record(Spec):
    """Declared record of which a run holds one per shard.

    Every pydantic record keeps the set of fields that were given, which takes 700 bytes, more than the values of most
    records. Here all records of a class share one set with every field.
    """

    def model_post_init(self, context: Any, /) -> None:
        """Sets the shared set of fields."""
        object.__setattr__(self, "__pydantic_fields_set__", _every_field(type(self)))

    def __reduce__(self) -> tuple[Callable[..., Record], tuple[Any, ...]]:
        # Values alone: names of fields that came with every pickle would be new strings in every record that is read.
        values = self.__dict__
        return _revived, (type(self), *(values[name] for name in _every_field(type(self)).in_order))


def _revived(kind: type[Record], *values: Any) -> Record:
    record, fields = kind.__new__(kind), _every_field(kind)
    state = {"__pydantic_fields_set__": fields, "__pydantic_extra__": None, "__pydantic_private__": None}
    record.__setstate__(state | {"__dict__": dict(zip(fields.in_order, values, strict=True))})
    return record


class _EveryField(frozenset[str]):
    """Names of a record's fields: one object, however often records are copied and sent."""

    owner: type[Record]
    in_order: tuple[str, ...]

    def update(self, *names: Any) -> None:
        """Does nothing: the set is complete. pydantic calls this with the fields that a copy changes."""

    def __copy__(self) -> _EveryField:
        return self

    def __reduce__(self) -> tuple[Callable[[type[Record]], _EveryField], tuple[type[Record]]]:
        return _every_field, (self.owner,)


@cache
def _every_field(record: type[Record]) -> _EveryField:
    fields = _EveryField(record.model_fields)
    fields.owner, fields.in_order = record, tuple(record.model_fields)
    return fields
