"""Names as sentences list them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

SHORT_LIST = 24
"""Most names that a sentence lists."""
OWN = ", or the import path of your own, such as package.module:NAME"
"""Addition to names that a user's code may join."""


def one_of(values: Sequence[Any]) -> str:
    """`a, b or c`."""
    names = [str(value) for value in values]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def listed(names: Sequence[Any]) -> str:
    """`a, b or c`; of many names their number."""
    return one_of(names) if len(names) <= SHORT_LIST else f"one of {len(names)} names; `hardset schema` lists them"


def near(name: object, names: Sequence[Any]) -> str:
    """`; did you mean a or b?`; empty where no name is near."""
    found = difflib.get_close_matches(str(name).lower(), [str(one) for one in names], n=3, cutoff=0.5)
    return f"; did you mean {one_of(found)}?" if found else ""
