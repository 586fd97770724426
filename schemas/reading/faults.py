"""Faults of a job, one sentence per key path: the value given and the value expected."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel, ValidationError

from hardset.schemas.base import BOOLEAN_FOR_NUMBER
from hardset.schemas.reading.slots import Slot, describe, literals, slot_of, step
from hardset.schemas.reading.wording import OWN, SHORT_LIST, listed, near

Path = tuple[int | str, ...]
"""Path of keys and positions in a document."""

_OWN_PATH = re.compile(r"([A-Za-z_][\w.]*): (.+)", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """Error of pydantic in terms of the document."""

    path: Path
    slot: Slot
    """Declaration of the place."""
    owner: Slot
    """Record that holds the place."""
    kind: str
    """Error type of pydantic."""
    message: str
    value: Any
    """Value in the document."""
    union: tuple[Path, Slot] | None
    """Outermost untagged union on the path, and its own path."""


def sentences(error: ValidationError, model: type[BaseModel], document: Any) -> list[str]:
    """Sentences, one per faulty key path: `recipes.0.eps: got 'lots'; wants a number such as 8/255 or 0.03`."""
    faults = [_fault(entry, model) for entry in error.errors(include_url=False)]
    # pydantic counts the good items only, so one bad item in a list also makes the list too short.
    faults = [f for f in faults if f.kind != "too_short" or not any(_below(other, f) for other in faults)]
    lines: dict[str, str] = {}
    for fault in faults:
        place = fault
        if fault.union:
            at, slot = fault.union
            value = _value_at(document, at)
            if not _inside(fault, slot, value):
                place = Fault(at, slot, Slot(), "union", "", value, None)
                if any(_inside(other, slot, value) for other in faults if other.union and other.union[0] == at):
                    continue
        path, line = _sentence(place)
        lines.setdefault(".".join(map(_key, path)), line)
    return [f"{path}: {line}" if path else line for path, line in lines.items()]


def _below(fault: Fault, other: Fault) -> bool:
    return len(fault.path) > len(other.path) and fault.path[: len(other.path)] == other.path


def _inside(fault: Fault, union: Slot, value: Any) -> bool:
    """Whether a fault lies in the only member of the union that the value can be meant for."""
    if isinstance(value, Mapping):
        return fault.owner.model is not None and any(m.model is fault.owner.model for m in union.members)
    if not isinstance(value, list) or fault.union is None:
        return False
    return fault.kind != "missing" and len(fault.path) > len(fault.union[0])  # an item that is not there has no place


def _fault(entry: Any, model: type[BaseModel]) -> Fault:
    slot, owner = slot_of(model), Slot()
    path: list[int | str] = []
    union: tuple[Path, Slot] | None = None
    is_key = True
    for part in entry["loc"]:
        if slot.members and not slot.tag and union is None:
            union = (tuple(path), slot)
        following, is_key = step(slot, part)
        if is_key:
            path.append(part)
        owner, slot = (slot if slot.model else owner), following
    error = entry.get("ctx", {}).get("error")
    if entry["loc"] and entry["loc"][-1] == "[key]" and not is_key:
        return Fault(tuple(path), slot, owner, "invalid_key", "", entry["input"], union)
    if entry["type"] == BOOLEAN_FOR_NUMBER:
        key = entry["ctx"]["key"]
        return Fault((*path, key), slot.field(key), slot, entry["type"], "", entry["input"][key], union)
    # A validator over a whole record may itself belong to the member of a union.
    owner = slot if entry["type"] == "value_error" and slot.model else owner
    return Fault(tuple(path), slot, owner, entry["type"], str(error or entry["msg"]), entry["input"], union)


def _sentence(fault: Fault) -> tuple[Path, str]:
    """Key path and sentence."""
    return _SENTENCES.get(fault.kind, _mismatch)(fault)


def _mismatch(fault: Fault) -> tuple[Path, str]:
    line = f"got {show(fault.value)}; wants {describe(fault.slot)}"
    if fault.slot.type is str and isinstance(fault.value, bool | int | float | date):
        line += ": put it in quotes"
    elif isinstance(fault.value, str) and fault.value in fault.slot.tags():
        line += f": write {{{fault.slot.tag}: {fault.value}}}"
    return fault.path, line


def _unknown_key(fault: Fault) -> tuple[Path, str]:
    allowed = fault.owner.keys
    nearest = difflib.get_close_matches(str(fault.path[-1]), allowed, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    listing = f" (allowed: {', '.join(allowed)})" if len(allowed) <= SHORT_LIST else ""
    return fault.path, f"unknown key{hint}{listing}"


def _missing(fault: Fault) -> tuple[Path, str]:
    meaning = " ".join((fault.slot.description or "").split()).rstrip(".")
    if meaning[1:2].islower():
        meaning = meaning[0].lower() + meaning[1:]
    return fault.path, f"missing; it is required: {meaning}" if meaning else "missing; it is required"


def _no_tag(fault: Fault) -> tuple[Path, str]:
    if not isinstance(fault.value, Mapping):
        return _mismatch(fault)
    return (*fault.path, str(fault.slot.tag)), f"missing; wants {listed(fault.slot.tags())}{_own(fault)}"


def _wrong_tag(fault: Fault) -> tuple[Path, str]:
    tag = str(fault.slot.tag)
    return (*fault.path, tag), _choice(fault.value.get(tag), fault.slot.tags(), _own(fault))


def _wrong_choice(fault: Fault) -> tuple[Path, str]:
    return fault.path, _choice(fault.value, literals(fault.slot))


def _own_words(fault: Fault) -> tuple[Path, str]:
    """Path and sentence of a validator's own message; a key at its start is appended to the path."""
    match = _OWN_PATH.match(fault.message)
    if match and match[1].split(".")[0] in fault.owner.keys:
        return (*fault.path, *match[1].split(".")), match[2]
    if fault.message.startswith("wants"):
        return fault.path, f"got {show(fault.value)}; {fault.message}"
    return fault.path, fault.message


_SENTENCES: dict[str, Callable[[Fault], tuple[Path, str]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _wrong_tag,
    "literal_error": _wrong_choice,
    "value_error": _own_words,
    "assertion_error": _own_words,
    "invalid_key": lambda fault: (fault.path, "a key must be text; put it in quotes"),
}


def _own(fault: Fault) -> str:
    return OWN if fault.slot.is_open else ""


def _choice(value: Any, names: tuple[Any, ...], own: str = "") -> str:
    return f"got {show(value)}; wants {listed(names)}{own}{near(value, names)}"


def show(value: Any) -> str:
    """Value as quoted in a sentence: short, in YAML notation."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple | set):
        return "an empty list" if not value else _shortener.repr(list(value))
    return _shortener.repr(value)


_shortener = reprlib.Repr()
_shortener.maxlevel, _shortener.maxstring, _shortener.maxother = 2, 60, 60
_shortener.maxlist = 4


def _key(part: int | str) -> str:
    """Key as shown in a path: bare like `eps`, quoted if it is not one word."""
    text = str(part)
    return text if re.fullmatch(r"[\w-]{1,60}", text) else _shortener.repr(text)


def _value_at(document: Any, path: Path) -> Any:
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document
