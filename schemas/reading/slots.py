"""Slots of a declared record: lookup of types along a key path, and descriptions of what a slot takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, WithJsonSchema
from pydantic.fields import FieldInfo

from hardset.schemas.extensions import Extension
from hardset.schemas.reading.wording import OWN, one_of

_BOUNDS = ("ge", "gt", "le", "lt")
SHORT_LIST = 24
"""Maximum number of names listed in a sentence."""


@dataclass(frozen=True)
class Slot:
    """Place in a record: its type, and the constraints of its declaration."""

    type: Any = Any
    """Type without Annotated and None."""
    rules: tuple[Any, ...] = ()
    """Constraints such as annotated_types.Ge, in the order of the declaration."""
    tag: str | None = None
    """Key that distinguishes the members of a union."""
    examples: tuple[Any, ...] = ()
    description: str | None = None
    """Docstring of the field."""

    @property
    def model(self) -> type[BaseModel] | None:
        """Class of the record in the slot; None if the slot can hold anything else."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, BaseModel) else None

    @property
    def members(self) -> tuple[Slot, ...]:
        """Members of a union; empty for any other type."""
        if get_origin(self.type) not in (Union, UnionType):
            return ()
        return tuple(slot_of(m) for m in get_args(self.type) if m is not type(None))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the record, in declaration order."""
        return tuple(self.model.model_fields) if self.model else ()

    def field(self, name: str) -> Slot:
        """Slot of a key of the record; an unknown key takes anything."""
        info = self.model.model_fields.get(name) if self.model else None
        return _field_slot(info) if info else Slot()

    def tags(self) -> tuple[str, ...]:
        """Values of the union's tag."""
        return tuple(t for m in self.members for t in m.tag_values(self.tag)) if self.tag else ()

    @property
    def is_open(self) -> bool:
        """Whether the union's tag may also be an import path of user code."""
        return any(m.model is not None and issubclass(m.model, Extension) for m in self.members)

    def tag_values(self, tag: str | None) -> tuple[str, ...]:
        """Tag values of this record in a tagged union, or of all records of this union inside another."""
        if self.members:
            return tuple(dict.fromkeys(value for member in self.members for value in member.tag_values(tag)))
        return literals(self.field(tag)) if tag else ()


def slot_of(annotation: Any) -> Slot:
    """Slot declared by a type annotation."""
    rules: list[Any] = []
    tag: str | None = None
    examples: tuple[Any, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extra = get_args(annotation)
            for rule in extra:
                if isinstance(rule, FieldInfo):
                    rules += rule.metadata
                    tag = _tag_of(rule.discriminator) or tag
                    examples = tuple(rule.examples or examples)
                elif isinstance(rule, WithJsonSchema):
                    examples = tuple((rule.json_schema or {}).get("examples", examples))
                elif isinstance(rule, Discriminator):
                    tag = _tag_of(rule) or tag
                else:
                    rules.append(rule)
            continue
        present = [m for m in get_args(annotation) if m is not type(None)]
        if get_origin(annotation) in (Union, UnionType) and len(present) == 1:
            annotation = present[0]
            continue
        return Slot(annotation, tuple(rules), tag, examples)


def _tag_of(discriminator: object) -> str | None:
    """Key that distinguishes the members of a union."""
    asked = discriminator.discriminator if isinstance(discriminator, Discriminator) else discriminator
    return asked if isinstance(asked, str) else getattr(asked, "key", None)


def _field_slot(info: FieldInfo) -> Slot:
    inner = slot_of(info.annotation)
    examples = inner.examples
    for rule in info.metadata:
        if isinstance(rule, WithJsonSchema):
            examples = tuple((rule.json_schema or {}).get("examples", examples))
    return Slot(
        type=inner.type,
        rules=(*info.metadata, *inner.rules),
        tag=next(filter(None, map(_tag_of, (info.discriminator, *info.metadata))), inner.tag),
        examples=tuple(info.examples or examples),
        description=info.description,
    )


def step(slot: Slot, part: int | str) -> tuple[Slot, bool]:
    """Next slot for one part of a pydantic location, and whether the part is a key of the document.

    Locations also name the union member that was tried; such parts are not keys.
    """
    if slot.members:
        return _member(slot, str(part)), False
    if slot.model:
        return slot.field(str(part)), True
    if part == "[key]":
        return slot, False
    arguments = get_args(slot.type)
    if get_origin(slot.type) in (dict, Mapping):
        return slot_of(arguments[1]), True
    if isinstance(part, int) and arguments:
        fixed = [a for a in arguments if a is not Ellipsis]
        return slot_of(fixed[min(part, len(fixed) - 1)]), True
    return Slot(), isinstance(part, int) or slot.type is Any


def _member(slot: Slot, label: str) -> Slot:
    """Member of a union named by a part of a location: by its tag, its class, or the origin of its type."""
    for member in slot.members:
        if slot.tag and label in member.tag_values(slot.tag):
            return member
        if member.model and member.model.__name__ in label.replace("]", " ").replace(",", " ").split():
            return member
    for member in slot.members:
        origin = get_origin(member.type)
        if member.model is None and isinstance(origin, type) and label.startswith(f"{origin.__name__}["):
            return member
    return next((m for m in slot.members if m.model and m.model.__name__ == label), Slot())


def literals(slot: Slot) -> tuple[Any, ...]:
    """Values of a slot that takes only listed values."""
    return get_args(slot.type) if get_origin(slot.type) is Literal else ()


def describe(slot: Slot) -> str:
    """Description of what a slot takes: `a whole number of 1 or more`, `linf or l2`."""
    if slot.members:
        return _union(slot)
    if slot.model:
        return _record(slot.model)
    if literals(slot):
        return one_of(literals(slot))
    if get_origin(slot.type) in (tuple, list):
        return _list(slot)
    return _plain(slot)


def _plain(slot: Slot) -> str:
    if slot.type is str:
        return _text(slot)
    if slot.type is bool:
        return "true or false"
    if slot.type in (int, float):
        return ("a whole number" if slot.type is int else "a number") + _limits(slot)
    if slot.examples:
        noun = "names" if get_origin(slot.type) in (dict, Mapping) else "a number"
        return f"{noun} such as {one_of(slot.examples)}"
    return "a mapping"


def _union(slot: Slot) -> str:
    if slot.tag:
        return f"a mapping with {slot.tag}: {one_of(slot.tags())}{OWN if slot.is_open else ''}"
    return ", or ".join(dict.fromkeys(describe(m) for m in slot.members))


def _text(slot: Slot) -> str:
    example = f" like {slot.examples[0]}" if slot.examples else ""
    pattern = next((rule.pattern for rule in slot.rules if getattr(rule, "pattern", None)), None)
    return f"text{example}" + (f" (pattern {pattern})" if pattern else "")


def _record(model: type[BaseModel]) -> str:
    fields = model.model_fields.items()
    if all(info.examples for _, info in fields):
        inside = ", ".join(f"{name}: {(info.examples or [''])[0]}" for name, info in fields)
        # Range is a word of the field; AfterSuccess is none.
        noun = model.__name__.lower() if model.__name__.istitle() else "mapping"
        return f"a {noun} {{{inside}}}"
    required = [name for name, info in fields if info.is_required()]
    return f"a mapping with {' and '.join(required or list(model.model_fields)[:3])}"


def _list(slot: Slot) -> str:
    arguments = get_args(slot.type)
    if Ellipsis not in arguments and get_origin(slot.type) is tuple:
        return f"a list of {len(arguments)} values, each {describe(slot_of(arguments[0]))}"
    least = next((rule.min_length for rule in slot.rules if hasattr(rule, "min_length")), 0)
    inside = describe(slot_of(arguments[0]))
    return f"a list of one or more items, each {inside}" if least else f"a list, each item {inside}"


def _limits(slot: Slot) -> str:
    limits = {name: getattr(rule, name) for rule in slot.rules for name in _BOUNDS if hasattr(rule, name)}
    low, above, high, below = (limits.get(name) for name in _BOUNDS)
    if slot.type is int:
        low, above = (low if above is None else above + 1), None
        high, below = (high if below is None else below - 1), None
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = [
        f"of {low} or more" if low is not None and below is None else "",
        f"of at least {low}" if low is not None and below is not None else "",
        f"above {above}" if above is not None else "",
        f"at most {high}" if high is not None else "",
        f"below {below}" if below is not None else "",
    ]
    return "".join(f" {part}" if i == 0 else f" and {part}" for i, part in enumerate(filter(None, parts)))
