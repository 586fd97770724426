"""A format as the conformance kit of sources uses it: its settings, and how rows are written in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = 3
"""Labels that the kit writes are 0, 1 and 2."""


@dataclass(frozen=True)
class SampleRow:
    """A row that the kit asks a format to store."""

    file: str
    """Stem of the file that holds the row, `train-0`, `train-1` or `test-0`; its split is the part before the dash."""
    number: int
    """Position inside the file."""
    label: int
    pixels: NDArray[np.uint8] | None
    """6 x 5 x 3, or 6 x 5 x 1 for formats of grey images; None asks for an image that cannot be read."""


@dataclass(frozen=True)
class SourceExample:
    """A format as the kit uses it."""

    settings: Callable[[str], Mapping[str, Any]]
    """Path of the folder to the `source` section of a job file, whose `format` may be an import path."""
    write: Callable[[Path, Sequence[SampleRow]], None] | None = None
    """Writes rows, and nothing else, into an empty folder. None: the source is bundled and cannot be written."""
    channels: int = 3
    """1 for a format of grey images."""
    breaks: bool = True
    """Whether a single image can be unreadable: that of an array of plain numbers cannot."""
    classes: int = CLASSES
    """Number of classes of a bundled source."""


def sample_rows(example: SourceExample) -> list[SampleRow]:
    """19 rows in three files and two splits."""
    files = {"train-0": 8, "train-1": 5, "test-0": 6}
    return [row for seed, (name, count) in enumerate(files.items()) for row in sample_file(example, name, count, seed)]


def sample_file(example: SourceExample, name: str, count: int, seed: int) -> list[SampleRow]:
    """`count` rows of one file with pixels drawn from `seed`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 6, 5, example.channels), np.uint8)
    return [SampleRow(name, number, number % CLASSES, pixels[number]) for number in range(count)]


def pixels_of(row: SampleRow) -> NDArray[np.uint8]:
    """Pixels of a row that has some."""
    assert row.pixels is not None
    return row.pixels


def written(example: SourceExample, folder: Path, rows: Sequence[SampleRow]) -> Sequence[SampleRow]:
    """The rows that were written; none where the source is bundled."""
    if example.write is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    example.write(folder, rows)
    return rows


def rewritten(example: SourceExample, folder: Path, rows: Sequence[SampleRow]) -> None:
    """Writes other rows in place, each file with the time of before: what only looks at times sees no change."""
    times = {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    folder.mkdir()
    assert example.write is not None
    example.write(folder, rows)
    for name, time in times.items():
        if (folder / name).is_file():
            os.utime(folder / name, ns=(time, time))
