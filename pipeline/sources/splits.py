"""Splits: read off file and folder names as Hugging Face `datasets` does, ordered, and selected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from hardset.schemas.errors import JobError

Item = TypeVar("Item")

TRAINING_SPLIT = "train"
"""Split of rows to train on: that of files and folders that name none, and of generated rows."""
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_ORDER = tuple(_KEYWORDS)
_SEPARATOR = "[-._ 0-9]"
_SHARDED = re.compile(r"data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")


def split_of_folder(name: str) -> str | None:
    """Split that a folder's name stands for, such as `test` or `val_images`; None for any other name."""
    return _matching(name, f"(?:{_SEPARATOR}|$)")


def split_of_file(path: str) -> str:
    """Split of a file, from its path relative to the source: its folders' names first, then its own, else train.

    `data/<split>-00000-of-00002.parquet` may name any split, as in `datasets`.
    """
    if sharded := _SHARDED.fullmatch(path):
        return sharded["split"]
    *folders, name = path.split("/")
    found = [split for split in map(split_of_folder, folders) if split]
    by_order = sorted(found, key=_ORDER.index)
    return by_order[0] if by_order else _matching(name, _SEPARATOR) or TRAINING_SPLIT


def selected(
    items: Iterable[Item], split_of: Callable[[Item], str], wanted: Sequence[str] | None
) -> list[tuple[str, Item]]:
    """(split, item) in source order: train, validation, test, others by name; inside a split as `items` come.

    `wanted` None takes all. Raises JobError that lists the splits there are where a wanted one is not among them.
    """
    pairs = [(split_of(item), item) for item in items]
    found = sorted({split for split, _ in pairs}, key=_position)
    missing = [split for split in wanted or () if split not in found]
    if missing:
        raise JobError(f"source.splits: no split {missing[0]!r}; the source has: {', '.join(found)}")
    pairs.sort(key=lambda pair: _position(pair[0]))
    return [pair for pair in pairs if wanted is None or pair[0] in wanted]


def _matching(name: str, end: str) -> str | None:
    for split, keywords in _KEYWORDS.items():
        if any(re.search(f"(?:^|{_SEPARATOR}){keyword}{end}", name) for keyword in keywords):
            return split
    return None


def _position(split: str) -> tuple[int, str]:
    return (_ORDER.index(split) if split in _ORDER else len(_ORDER), split)
