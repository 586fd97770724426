"""Numbered shards as WebDataset writes them: `train-{000000..000099}.tar`, and lists such as `{train,val}.tar`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hardset.schemas.errors import JobError

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}/]*,[^{}/]*))\}")
_MOST = 1_000_000


def has_braces(path: str) -> bool:
    """Whether a path stands for several, by a range or a list in braces."""
    return _BRACES.search(path) is not None


def expanded(path: str) -> Iterator[str]:
    """The paths that a path stands for, in order; itself where it has no braces. Numbers are as wide as the first.

    Raises JobError for a range that runs backwards, or of more than a million numbers.
    """
    found = _BRACES.search(path)
    if found is None:
        yield path
        return
    for part in _parts(found):
        yield from expanded(f"{path[: found.start()]}{part}{path[found.end() :]}")


def _parts(found: re.Match[str]) -> list[str]:
    if found[3] is not None:
        return found[3].split(",")
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST:
        raise JobError(f"source.path: {found[0]} is no range of numbers; wants one that rises, such as {{000..099}}")
    return [f"{number:0{len(found[1])}}" for number in range(first, last + 1)]
