"""Class names of a source: those that the job declares, in a list or a file, or those found in folders and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from hardset.pipeline.sources.files import resolve, storage_faults
from hardset.pipeline.sources.labels import comparable, plain
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.sources import FROM_SOURCE, StoredSource

_MOST_BYTES = 16 << 20
_MOST_NUMBERS = 100_000
"""A label above this is taken for an id, not for a class number."""
_WANTED = "wants one name a line, or JSON or YAML: a list, id2label, label2id, or names"
_KEYS = ("id2label", "label2id", "label_names", "names", "class_to_idx", "classes")
_NUMBER = re.compile(r"\d+")
_SHOWN = 10


def declared(spec: StoredSource) -> tuple[str, ...] | None:
    """Names that `source.classes` lists, itself or in its file; None where it is unset or from_source.

    Raises JobError: no such file, a file that is no list of names, a name that is empty or there twice.
    """
    if spec.classes is None or spec.classes == FROM_SOURCE:
        return None
    if isinstance(spec.classes, str):
        return _checked(_of_file(spec.classes), f"source.classes: {spec.classes}")
    return _checked(spec.classes, "source.classes")


def ordered(names: Iterable[str], *, numeric: bool) -> tuple[str, ...]:
    """Class names in label order: sorted as text, or by value. Spellings of one name that NFC makes equal are one.

    Raises JobError where they are to be sorted by value and one is no number.
    """
    spelled: dict[str, str] = {}
    for name in sorted(names):
        kept = spelled.setdefault(comparable(name), name)
        spelled[comparable(name)] = comparable(name) if kept != name else name
    found = sorted(spelled.values())
    if not numeric:
        return tuple(found)
    for name in found:
        if not _NUMBER.fullmatch(name):
            raise JobError(f"source.numeric: the class {name!r} is no whole number; leave numeric out")
    return tuple(sorted(found, key=lambda name: (int(name), name)))


def in_labels(labels: Iterable[Any], *, numeric: bool, offset: int, name: str) -> tuple[str, ...]:
    """Class names found in the labels of a source: its texts in order, or the numbers from 0 to the largest.

    Labels that are neither are left to the reading of their rows. Raises JobError where there are no labels, or they
    are too large for class numbers.
    """
    found = {value for value in map(plain, labels) if isinstance(value, str | int)}
    texts = {value for value in found if isinstance(value, str) and value.strip()}
    numbers = {value for value in found if isinstance(value, int)}
    if texts:
        return ordered(texts | set(map(str, numbers)), numeric=numeric)
    if not numbers or max(numbers) < offset:
        raise JobError(f"source.classes: {name} holds no labels to find classes in")
    if max(numbers) - offset > _MOST_NUMBERS:
        raise JobError(
            f"source.classes: {name} has the label {max(numbers)}, which is no class number; list the classes"
        )
    return tuple(str(number) for number in range(offset, max(numbers) + 1))


def check_listed(own: Sequence[str], listed: Sequence[str], name: str) -> None:
    """Raises JobError, which shows both, where a class that the source names itself is not listed by the job."""
    known = set(map(comparable, listed))
    missing = [one for one in own if comparable(one) not in known]
    if missing:
        raise JobError(
            f"source.classes: lists {shown(listed)}, but {name} has the class {missing[0]!r}"
            + (f" and {len(missing) - 1} more that it lacks" if len(missing) > 1 else "")
            + f" (its classes: {shown(own)}); list every class of the source by the source's own name"
        )


def found_warning(names: Sequence[str]) -> str:
    """Warning that classes were found in labels, where the job does not say that they are to be."""
    return (
        f"source.classes: the labels are names, and the {len(names)} found, sorted, are the classes: {shown(names)}; "
        "list them in the order that the model knows, or write from_source"
    )


def number_warning(names: Sequence[str]) -> str | None:
    """Warning where all class names are numbers, and other numbers than their classes'."""
    if not all(map(_NUMBER.fullmatch, names)):
        return None
    other = next((number for number, name in enumerate(names) if int(name) != number), None)
    if other is None:
        return None
    mend = "set source.numeric: true to sort them by value" if not _ascending(names) else "list them in source.classes"
    return (
        f"source.classes: all class names are numbers, and {names[other]} is not class {names[other]} but class "
        f"{other}, by its place in {shown(names)}; {mend} if the model counts otherwise"
    )


def shown(names: Sequence[str]) -> str:
    """Class names in a sentence, the first ten of them."""
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")


def _ascending(names: Sequence[str]) -> bool:
    values = list(map(int, names))
    return values == sorted(values)


def _checked(names: Sequence[str], where: str) -> tuple[str, ...]:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if not name.strip():
            raise JobError(f"{where}: name {number} is empty")
        if comparable(name) in seen:
            raise JobError(f"{where}: names {name!r} twice; every class needs a name of its own")
        seen.add(comparable(name))
    if not names:
        raise JobError(f"{where}: holds no names; {_WANTED}")
    return tuple(names)


def _of_file(path: str) -> list[str]:
    with storage_faults(path, at="source.classes"):
        place = resolve(path, at="source.classes")
        if place.kind != "file":
            raise JobError(f"source.classes: {place.name} is a {place.kind}; wants a file of class names")
        if place.fs.info(place.path)["size"] > _MOST_BYTES:
            raise JobError(f"source.classes: {place.name} is no list of class names: it has more than 16 MiB")
        data: bytes = place.fs.cat_file(place.path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise JobError(f"source.classes: {place.name} is no UTF-8 text; {_WANTED}") from None
    return _names_in(text, place.name)


def _names_in(text: str, name: str) -> list[str]:
    if name.endswith((".json", ".yaml", ".yml")):
        try:
            document = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            reason = one_line(error, 100)
            raise JobError(f"source.classes: {name} cannot be parsed: {reason}; {_WANTED}") from None
        return _of_document(document, name)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    headed = name.endswith((".csv", ".tsv")) and len(lines) > 1
    return _of_pairs(lines) or (_of_pairs(lines[1:]) if headed else None) or lines


def _of_document(document: Any, name: str) -> list[str]:
    """Names of a parsed document: a list, or a mapping of number to name or of name to number."""
    for key in _KEYS:
        if isinstance(document, dict) and isinstance(document.get(key), dict | list):
            return _of_document(document[key], name)
    if isinstance(document, dict):
        document = _in_order(document, name)
    if not isinstance(document, list) or not all(type(one) in (str, int) for one in document):
        raise JobError(f"source.classes: {name} holds no class names; {_WANTED}")
    return [str(one) for one in document]


def _in_order(mapping: dict[Any, Any], name: str) -> list[Any]:
    """The names of `{number: name}` or `{name: number}`. Raises JobError where the numbers are not 0 to N - 1."""
    if all(type(value) is int for value in mapping.values()) and not all(_is_number(key) for key in mapping):
        mapping = {number: key for key, number in mapping.items()}
    elif not all(_is_number(key) for key in mapping):
        raise JobError(f"source.classes: {name} maps neither numbers to names nor names to numbers; {_WANTED}")
    numbered = {int(number): one for number, one in mapping.items()}
    missing = next((number for number in range(len(mapping)) if number not in numbered), None)
    if missing is not None:
        raise JobError(f"source.classes: {name} names no class {missing}; wants the numbers 0 to {len(mapping) - 1}")
    return [numbered[number] for number in range(len(mapping))]


def _is_number(key: Any) -> bool:
    return type(key) is int or (isinstance(key, str) and _NUMBER.fullmatch(key) is not None)


def _of_pairs(lines: Sequence[str]) -> list[str] | None:
    """Names of lines that each hold a name and its number, in either order; None where they do not."""
    for number_at in (-1, 0):
        pairs = [re.split(r"[\s,:]+", line, maxsplit=1) if number_at == 0 else _at_end(line) for line in lines]
        if not all(len(pair) == 2 and _NUMBER.fullmatch(pair[number_at]) for pair in pairs):
            continue
        numbered = {int(pair[number_at]): pair[number_at + 1] for pair in pairs}
        distinct = len(set(numbered.values())) == len(lines)
        if sorted(numbered) == list(range(len(lines))) and distinct:
            return [numbered[number] for number in range(len(lines))]
    return None


def _at_end(line: str) -> list[str]:
    """The text before the last separator, and after it."""
    found = re.fullmatch(r"(.*\S)[\s,:]+(\d+)", line)
    return [found[1].rstrip(",: \t"), found[2]] if found else [line]
