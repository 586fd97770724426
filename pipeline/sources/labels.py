"""Class numbers of labels as sources store them: whole numbers of any type, or names."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from hardset.pipeline.batches import RowError
from hardset.schemas.errors import JobError


class LabelError(RowError):
    """The label is missing or names no class of the model."""


@dataclass(frozen=True)
class Numbering:
    """Way from stored labels to class numbers."""

    numbers: Mapping[str, int]
    """Class numbers by name, as `comparable` writes it."""
    offset: int = 0
    """Label of class 0 where labels are numbers."""

    @classmethod
    def of(cls, names: Sequence[str] | None, offset: int = 0) -> Numbering:
        """The numbering of classes by these names in their order; None: labels are numbers alone."""
        return cls({comparable(name): number for number, name in enumerate(names or ())}, offset)

    def number(self, label: Any) -> int:
        """Class number of a stored label; the caller checks it against the number of classes. Raises LabelError."""
        value = _alone(label)
        if isinstance(value, str):
            return self._named(value)
        if not isinstance(value, int):
            raise LabelError(f"label is a {type(value).__name__}; wants a whole number or a name")
        if value < self.offset and self.offset:
            raise LabelError(f"label {value} is less than source.label_offset {self.offset}")
        return value - self.offset

    def _named(self, name: str) -> int:
        found = self.numbers.get(comparable(name))
        if found is None:
            raise LabelError(f"label {name!r} names none of the {len(self.numbers)} classes")
        return found


def comparable(name: str) -> str:
    """A class name in the form that names are compared in, NFC: macOS takes letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def plain(label: Any) -> Any:
    """A stored label as int or str where it stands for one; anything else as it is.

    Booleans are 0 and 1, whole floats and decimals are numbers, bytes are UTF-8, an array of one label is that label.
    """
    value = label.tolist() if isinstance(label, np.ndarray | np.generic) else label
    if isinstance(value, list | tuple) and len(value) == 1:
        return plain(value[0])
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool) or (isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value)):
        return int(value)
    return value


def are_text(kinds: Iterable[tuple[str, bool]], what: str) -> bool:
    """Whether labels are names. `kinds`: files, each with whether its labels are; `what`: begin of the sentence, as far
    as the verb.

    Raises JobError where they are names in one file and numbers in another.
    """
    found = {is_text: file for file, is_text in kinds}
    if len(found) > 1:
        raise JobError(
            f"{what} text in {found[True]} and numbers in {found[False]}; write labels alike in all files, or make two "
            "jobs"
        )
    return True in found


def _alone(label: Any) -> Any:
    """A stored label as `plain` has it. Raises LabelError: null, several labels, no whole number."""
    value = plain(label)
    if isinstance(value, RowError):
        raise value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise LabelError("label is null")
    if isinstance(value, str) and not value.strip():
        raise LabelError("label is empty")
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:5])) + (", ..." if len(value) > 5 else "")
        raise LabelError(f"holds {len(value)} labels ({shown}); wants one")
    if isinstance(value, float | Decimal):
        raise LabelError(f"label {value} is no whole number")
    return value
