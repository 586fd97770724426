"""The conformance kit of sources, in the manner of scikit-learn's `check_estimator`.

    from hardset.testing import SourceExample, check_source

    def test_it_keeps_the_laws(tmp_path):
        check_source(SourceExample(settings, write), tmp_path)

Every check writes a small source of the format, plans and reads it, changes it, and says in one sentence what is wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from hardset.pipeline.batches import CleanRows, Reject
from hardset.pipeline.sources.base import SourceReader, key_of, narrowed
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.testing.faults import NonconformityError
from hardset.pipeline.testing.watching import opened_files
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import UserError
from hardset.schemas.job.sources import HoldOut, ImageSource, Source
from hardset.schemas.records.run import SourceRange

CLASSES = 3
"""Labels that the kit writes are 0, 1 and 2."""
_SHARD_ROWS = 4
_SOURCE: TypeAdapter[ImageSource] = TypeAdapter(Source)


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


Check = Callable[[SourceExample, Path], None]


def check_source(example: SourceExample, folder: Path) -> None:
    """Runs all checks, each in a folder of its own below `folder`. Raises NonconformityError at the first fault."""
    for check in source_checks(example):
        check(example, folder / check.__name__)


def source_checks(example: SourceExample) -> tuple[Check, ...]:
    """The checks that apply, each a function of the example and an empty folder; for `pytest.mark.parametrize`."""
    if example.write is None:
        return _READING
    return (*_READING, *_WRITING, *((broken_images_are_quarantined,) if example.breaks else ()))


def every_row_comes_once(example: SourceExample, folder: Path) -> None:
    """However a source is cut, every row comes once, with its own pixels, label and key."""
    written = _written(example, folder, _rows(example))
    counts = set()
    for shard_rows in (1, _SHARD_ROWS, 10_000):
        seen = _seen(example, folder, shard_rows)
        counts.add(len(seen.rows))
        _demand(all(1 <= part.rows <= shard_rows for part in seen.ranges), "a range has no rows, or too many")
        planned = sum(part.rows for part in seen.ranges)
        came = len(seen.rows) + len(seen.rejects)
        _demand(came == planned, f"{planned} rows are planned and {came} keys come: rows are lost, or share a key")
    _demand(len(counts) == 1, f"ranges of other sizes give other numbers of rows: {sorted(counts)}")
    if written:
        found = sorted((row.sha256, row.label) for row in seen.rows.values())
        wanted = sorted((image_sha256(row.pixels), row.label) for row in written if row.pixels is not None)
        _demand(found == wanted, "pixels or labels that come are not those that were written")


def keys_are_stable(example: SourceExample, folder: Path) -> None:
    """A row's key does not depend on how the source is cut, and `key_of` knows it without reading."""
    _written(example, folder, _rows(example))
    one, other = _seen(example, folder, _SHARD_ROWS), _seen(example, folder, 10_000)
    _demand(one.rows == other.rows, "ranges of another size give rows other keys; a key names file and row alone")
    for part in one.ranges[:3]:
        rows, _ = one.reader.read(part, one.reader.probe(), example.classes)
        known = [key_of(part, row) for row in range(part.start, part.stop)]
        found = list(zip(rows.keys, rows.indices.tolist(), strict=True))
        _demand(set(found) <= set(known), f"a row has key and index {found[0]}, and key_of says {known[0]}")


def reading_again_gives_the_same(example: SourceExample, folder: Path) -> None:
    """Another worker plans the same ranges and reads the same rows from them."""
    _written(example, folder, _rows(example))
    one, other = _seen(example, folder), _seen(example, folder)
    _demand(one.ranges == other.ranges, "a second plan of the same bytes has other ranges or digests")
    _demand(one.rows == other.rows, "a second reading of the same ranges gives other rows")
    fixed = one.reader.fixed([part.model_copy(update={"digest": ""}) for part in one.ranges])
    _demand([part.digest for part in fixed] == [part.digest for part in one.ranges], "`fixed` finds other digests")


def parts_of_ranges_read_alike(example: SourceExample, folder: Path) -> None:
    """A narrowed range gives its own rows, which a search for the row that kills its worker relies on."""
    _written(example, folder, _rows(example))
    seen = _seen(example, folder)
    part = max(seen.ranges, key=lambda one: one.rows)
    for row in range(part.start, part.stop):
        some = _read(seen.reader, [narrowed(part, row, row + 1)], example.classes)
        key, _ = key_of(part, row)
        alike = {key: seen.rows[key]} if key in seen.rows else {}
        _demand(some.rows == alike, f"row {row} of {part.file} read by itself is not the one of its range")


def a_hold_out_parts_the_rows(example: SourceExample, folder: Path) -> None:
    """Held-out rows and the rest are all rows, each once."""
    _written(example, folder, _rows(example))
    keys = set(_seen(example, folder).rows)
    halves = [
        set(_seen(example, folder, hold_out=HoldOut(fraction=0.4, part=part)).rows) for part in ("rest", "held_out")
    ]
    _demand(halves[0].isdisjoint(halves[1]) and halves[0] | halves[1] == keys, "a hold-out loses or doubles rows")


def labels_without_a_class_are_quarantined(example: SourceExample, folder: Path) -> None:
    """A label that the model has no class for costs its own row and no other."""
    _written(example, folder, _rows(example))
    whole, fewer = _seen(example, folder), _seen(example, folder, classes=example.classes - 1)
    kept = {key: row for key, row in whole.rows.items() if row.label < example.classes - 1}
    _demand(fewer.rows == kept, "labels past the last class change or take along other rows")
    lost = {key for key, row in whole.rows.items() if key not in kept}
    _demand(lost <= set(fewer.rejects), "rows whose label has no class are lost without a reject")


def limits_and_splits_hold(example: SourceExample, folder: Path) -> None:
    """`limit` takes the first rows, and `splits` those of a split, under their keys in the whole."""
    _written(example, folder, _rows(example))
    whole = _seen(example, folder, 10_000)
    few = _seen(example, folder, limit=5)
    _demand(list(few.rows) == list(whole.rows)[:5], "source.limit does not give the first rows of the plan")
    splits = dict.fromkeys(part.split for part in whole.ranges)
    parts = [_seen(example, folder, 10_000, splits=(split,)).rows for split in splits]
    _demand({k: v for part in parts for k, v in part.items()} == whole.rows, "source.splits changes or loses rows")


def nothing_is_read_elsewhere(example: SourceExample, folder: Path) -> None:
    """All files that are opened lie in the source."""
    _written(example, folder, _rows(example))
    _seen(example, folder)  # what is imported late is imported now
    with opened_files() as opened:
        _seen(example, folder)
    outside = [path for path in opened if not Path(path).is_relative_to(folder.resolve())]
    _demand(not outside, f"reading opens {outside[:1]}, which lies outside of the source")


def the_same_bytes_elsewhere_are_the_same_source(example: SourceExample, folder: Path) -> None:
    """Files that were moved make no row anew."""
    _written(example, folder / "here", _rows(example))
    _written(example, folder / "there" / "deep", _rows(example))
    here, there = _seen(example, folder / "here"), _seen(example, folder / "there" / "deep")
    _demand(here.ranges == there.ranges, "the same files in another folder have other names or digests")
    _demand(here.rows == there.rows, "the same files in another folder give other rows or keys")


def a_changed_image_changes_its_digest(example: SourceExample, folder: Path) -> None:
    """Other bytes of one image: another digest for ranges that hold it, and for no range of another file."""
    before = _rows(example)
    after = [replace(row, pixels=255 - _pixels(row)) if row is before[2] else row for row in before]
    _compare(example, folder, before, after, "an image changed")


def a_changed_label_changes_its_digest(example: SourceExample, folder: Path) -> None:
    """Another label of one row: another digest for ranges that hold it, and for no range of another file."""
    before = _rows(example)
    after = [replace(row, label=(row.label + 1) % CLASSES) if row is before[2] else row for row in before]
    _compare(example, folder, before, after, "a label changed")


def growth_changes_nothing(example: SourceExample, folder: Path) -> None:
    """A new file adds rows, and leaves those of before as they are, under the same keys."""
    before = _rows(example)
    after = [*before, *_file(example, "train-2", 5, seed=9)]
    old, new = _compare(example, folder, before, after, "a file came")
    gone = [key for key in old.rows if new.rows.get(key) != old.rows[key]]
    _demand(not gone, f"a new file changes row {gone[:1]} of another; a key counts rows of its own file")
    _demand(len(new.rows) == len(after), "rows of the new file do not come")


def broken_images_are_quarantined(example: SourceExample, folder: Path) -> None:
    """An image that cannot be read costs its own row, with the reason, and takes no neighbour along."""
    rows = _rows(example)
    broken = [replace(row, pixels=None) if number in (1, 9) else row for number, row in enumerate(rows)]
    _written(example, folder, broken)
    seen = _seen(example, folder)
    wanted = sorted(image_sha256(row.pixels) for row in broken if row.pixels is not None)
    _demand(
        sorted(row.sha256 for row in seen.rows.values()) == wanted,
        "an image that cannot be read takes rows along, or passes for one",
    )
    _demand(len(seen.rejects) == 2, f"2 images cannot be read, and {len(seen.rejects)} rows are rejected")
    for reject in seen.rejects.values():
        _demand(reject.stage == "read" and bool(reject.message), "a reject says neither where nor why")


_READING: tuple[Check, ...] = (
    every_row_comes_once,
    keys_are_stable,
    reading_again_gives_the_same,
    parts_of_ranges_read_alike,
    a_hold_out_parts_the_rows,
    labels_without_a_class_are_quarantined,
    limits_and_splits_hold,
)
_WRITING: tuple[Check, ...] = (
    the_same_bytes_elsewhere_are_the_same_source,
    a_changed_image_changes_its_digest,
    a_changed_label_changes_its_digest,
    growth_changes_nothing,
    nothing_is_read_elsewhere,
)


@dataclass(frozen=True)
class _Row:
    sha256: str
    label: int


@dataclass(frozen=True)
class _Seen:
    """A source as planned and read to its end."""

    reader: SourceReader
    ranges: tuple[SourceRange, ...]
    rows: dict[str, _Row]
    """By key, in the order they came."""
    rejects: dict[str, Reject]
    by_range: dict[str, list[tuple[str, _Row]]]
    """Rows of each range, by what its shards' keys hold of it."""

    def by_file(self) -> dict[str, list[tuple[str, _Row]]]:
        """Rows of each file, or folder of files that are a row each."""
        found: dict[str, list[tuple[str, _Row]]] = {}
        for part in self.ranges:
            found.setdefault(part.file, []).extend(self.by_range[_identity(part)])
        return found


def _compare(
    example: SourceExample, folder: Path, before: Sequence[SampleRow], after: Sequence[SampleRow], what: str
) -> tuple[_Seen, _Seen]:
    """Reads a source, changes it, and reads it again, holding the shards' keys against the rows."""
    _written(example, folder, before)
    old = _seen(example, folder)
    _rewritten(example, folder, after)
    new = _seen(example, folder)
    _demand(old.rows != new.rows, f"{what} in the files, and the rows that come are those of before")
    for identity, rows in old.by_range.items():
        _demand(
            new.by_range.get(identity, rows) == rows,
            f"{what}, and the range {identity} kept its digest: its shards would keep their keys and never be made "
            "again; a digest covers all bytes that its rows come from",
        )
    was, now = old.by_file(), new.by_file()
    for part in old.ranges:
        _demand(
            was[part.file] != now.get(part.file) or _identity(part) in new.by_range,
            f"{what}, and {part.file}, which holds none of it, has another digest: its shards would be made again",
        )
    return old, new


def _identity(part: SourceRange) -> str:
    fixes = part.model_dump(include={"split", "file", "start", "stop", "digest", "members", "label"})
    return f"{part.file} rows {part.start} to {part.stop}: {fixes}"


def _seen(
    example: SourceExample, folder: Path, shard_rows: int = _SHARD_ROWS, *, classes: int | None = None, **asked: Any
) -> _Seen:
    spec = _SOURCE.validate_python({**example.settings(str(folder)), **asked})
    try:
        reader = open_source(spec)
        return _read(reader, reader.plan(shard_rows), classes or example.classes)
    except UserError as error:
        raise NonconformityError(f"it cannot be read: {error}") from error


def _read(reader: SourceReader, ranges: Sequence[SourceRange], classes: int) -> _Seen:
    image = reader.probe()
    found: dict[str, _Row] = {}
    rejects: dict[str, Reject] = {}
    by_range: dict[str, list[tuple[str, _Row]]] = {}
    for part in ranges:
        rows, lost = reader.read(part, image, classes)
        _check_shapes(rows)
        made = [_Row(sha256, int(label)) for sha256, label in zip(rows.sha256, rows.labels, strict=True)]
        pairs = list(zip(rows.keys, made, strict=True))
        found.update(pairs)
        rejects.update({reject.key: reject for reject in lost})
        by_range[_identity(part)] = pairs
    return _Seen(reader, tuple(ranges), found, rejects, by_range)


def _check_shapes(rows: CleanRows) -> None:
    _demand(rows.pixels.dtype == np.uint8 and rows.pixels.ndim == 4, "pixels are not uint8 (N, H, W, C)")
    _demand(rows.sha256 == tuple(map(image_sha256, rows.pixels)), "sha256 are not the digests of the pixels")


def _rows(example: SourceExample) -> list[SampleRow]:
    """19 rows in three files and two splits."""
    files = {"train-0": 8, "train-1": 5, "test-0": 6}
    return [row for seed, (name, count) in enumerate(files.items()) for row in _file(example, name, count, seed)]


def _file(example: SourceExample, name: str, count: int, seed: int) -> list[SampleRow]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 6, 5, example.channels), np.uint8)
    return [SampleRow(name, number, number % CLASSES, pixels[number]) for number in range(count)]


def _pixels(row: SampleRow) -> NDArray[np.uint8]:
    assert row.pixels is not None
    return row.pixels


def _written(example: SourceExample, folder: Path, rows: Sequence[SampleRow]) -> Sequence[SampleRow]:
    """The rows that were written; none where the source is bundled."""
    if example.write is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    example.write(folder, rows)
    return rows


def _rewritten(example: SourceExample, folder: Path, rows: Sequence[SampleRow]) -> None:
    """Writes other rows in place, each file with the time of before: what only looks at times sees no change."""
    times = {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    folder.mkdir()
    assert example.write is not None
    example.write(folder, rows)
    for name, time in times.items():
        if (folder / name).is_file():
            os.utime(folder / name, ns=(time, time))


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NonconformityError(otherwise)
