"""The conformance kit of sources, in the manner of scikit-learn's `check_estimator`.

    from hardset.testing import SourceExample, check_source

    def test_it_keeps_the_laws(tmp_path):
        check_source(SourceExample(settings, write), tmp_path)

Every check writes a small source of the format, plans and reads it, changes it, and says in one sentence what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hardset.pipeline.sources.base import key_of, narrowed
from hardset.pipeline.testing.source_content import SHARD_ROWS, compare, demand, read_ranges, seen_through
from hardset.pipeline.testing.source_example import (
    CLASSES,
    SourceExample,
    pixels_of,
    rewritten,
    sample_file,
    sample_rows,
    written,
)
from hardset.pipeline.testing.watching import opened_files
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import RunError
from hardset.schemas.job.sources import HoldOut

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
    rows = written(example, folder, sample_rows(example))
    counts = set()
    for shard_rows in (1, SHARD_ROWS, 10_000):
        seen = seen_through(example, folder, shard_rows)
        counts.add(len(seen.rows))
        demand(all(1 <= part.rows <= shard_rows for part in seen.ranges), "a range has no rows, or too many")
        planned = sum(part.rows for part in seen.ranges)
        came = len(seen.rows) + len(seen.rejects)
        demand(came == planned, f"{planned} rows are planned and {came} keys come: rows are lost, or share a key")
    demand(len(counts) == 1, f"ranges of other sizes give other numbers of rows: {sorted(counts)}")
    if rows:
        found = sorted((row.sha256, row.label) for row in seen.rows.values())
        wanted = sorted((image_sha256(row.pixels), row.label) for row in rows if row.pixels is not None)
        demand(found == wanted, "pixels or labels that come are not those that were written")


def keys_are_stable(example: SourceExample, folder: Path) -> None:
    """A row's key does not depend on how the source is cut, and `key_of` knows it without reading."""
    written(example, folder, sample_rows(example))
    one, other = seen_through(example, folder, SHARD_ROWS), seen_through(example, folder, 10_000)
    demand(one.rows == other.rows, "ranges of another size give rows other keys; a key names file and row alone")
    for part in one.ranges[:3]:
        rows, _ = one.reader.read(part, one.reader.probe(), example.classes)
        known = [key_of(part, row) for row in range(part.start, part.stop)]
        found = list(zip(rows.keys, rows.indices.tolist(), strict=True))
        demand(set(found) <= set(known), f"a row has key and index {found[0]}, and key_of says {known[0]}")


def reading_again_gives_the_same(example: SourceExample, folder: Path) -> None:
    """Another worker plans the same ranges and reads the same rows from them."""
    written(example, folder, sample_rows(example))
    one, other = seen_through(example, folder), seen_through(example, folder)
    demand(one.ranges == other.ranges, "a second plan of the same bytes has other ranges or digests")
    demand(one.rows == other.rows, "a second reading of the same ranges gives other rows")
    fixed = one.reader.fixed([part.model_copy(update={"digest": ""}) for part in one.ranges])
    demand([part.digest for part in fixed] == [part.digest for part in one.ranges], "`fixed` finds other digests")


def parts_of_ranges_read_alike(example: SourceExample, folder: Path) -> None:
    """A narrowed range gives its own rows, which a search for the row that kills its worker relies on."""
    written(example, folder, sample_rows(example))
    seen = seen_through(example, folder)
    part = max(seen.ranges, key=lambda one: one.rows)
    for row in range(part.start, part.stop):
        some = read_ranges(seen.reader, [narrowed(part, row, row + 1)], example.classes)
        key, _ = key_of(part, row)
        alike = {key: seen.rows[key]} if key in seen.rows else {}
        demand(some.rows == alike, f"row {row} of {part.file} read by itself is not the one of its range")


def a_hold_out_parts_the_rows(example: SourceExample, folder: Path) -> None:
    """Held-out rows and the rest are all rows, each once."""
    written(example, folder, sample_rows(example))
    keys = set(seen_through(example, folder).rows)
    halves = [
        set(seen_through(example, folder, hold_out=HoldOut(fraction=0.4, part=part)).rows)
        for part in ("rest", "held_out")
    ]
    demand(halves[0].isdisjoint(halves[1]) and halves[0] | halves[1] == keys, "a hold-out loses or doubles rows")


def labels_without_a_class_are_quarantined(example: SourceExample, folder: Path) -> None:
    """A label that the model has no class for costs its own row and no other."""
    written(example, folder, sample_rows(example))
    whole, fewer = seen_through(example, folder), seen_through(example, folder, classes=example.classes - 1)
    kept = {key: row for key, row in whole.rows.items() if row.label < example.classes - 1}
    demand(fewer.rows == kept, "labels past the last class change or take along other rows")
    lost = {key for key, row in whole.rows.items() if key not in kept}
    demand(lost <= set(fewer.rejects), "rows whose label has no class are lost without a reject")


def limits_and_splits_hold(example: SourceExample, folder: Path) -> None:
    """`limit` takes the first rows, and `splits` those of a split, under their keys in the whole."""
    written(example, folder, sample_rows(example))
    whole = seen_through(example, folder, 10_000)
    few = seen_through(example, folder, limit=5)
    demand(list(few.rows) == list(whole.rows)[:5], "source.limit does not give the first rows of the plan")
    splits = dict.fromkeys(part.split for part in whole.ranges)
    parts = [seen_through(example, folder, 10_000, splits=(split,)).rows for split in splits]
    demand({k: v for part in parts for k, v in part.items()} == whole.rows, "source.splits changes or loses rows")


def nothing_is_read_elsewhere(example: SourceExample, folder: Path) -> None:
    """All files that are opened lie in the source."""
    written(example, folder, sample_rows(example))
    seen_through(example, folder)  # what is imported late is imported now
    with opened_files() as opened:
        seen_through(example, folder)
    outside = [path for path in opened if not Path(path).is_relative_to(folder.resolve())]
    demand(not outside, f"reading opens {outside[:1]}, which lies outside of the source")


def the_same_bytes_elsewhere_are_the_same_source(example: SourceExample, folder: Path) -> None:
    """Files that were moved make no row anew."""
    written(example, folder / "here", sample_rows(example))
    written(example, folder / "there" / "deep", sample_rows(example))
    here, there = seen_through(example, folder / "here"), seen_through(example, folder / "there" / "deep")
    demand(here.ranges == there.ranges, "the same files in another folder have other names or digests")
    demand(here.rows == there.rows, "the same files in another folder give other rows or keys")


def a_changed_image_changes_its_digest(example: SourceExample, folder: Path) -> None:
    """Other bytes of one image: another digest for ranges that hold it, and for no range of another file."""
    before = sample_rows(example)
    after = [replace(row, pixels=255 - pixels_of(row)) if row is before[2] else row for row in before]
    compare(example, folder, before, after, "an image changed")


def a_changed_label_changes_its_digest(example: SourceExample, folder: Path) -> None:
    """Another label of one row: another digest for ranges that hold it, and for no range of another file."""
    before = sample_rows(example)
    after = [replace(row, label=(row.label + 1) % CLASSES) if row is before[2] else row for row in before]
    compare(example, folder, before, after, "a label changed")


def growth_changes_nothing(example: SourceExample, folder: Path) -> None:
    """A new file adds rows, and leaves those of before as they are, under the same keys."""
    before = sample_rows(example)
    after = [*before, *sample_file(example, "train-2", 5, seed=9)]
    old, new = compare(example, folder, before, after, "a file came")
    gone = [key for key in old.rows if new.rows.get(key) != old.rows[key]]
    demand(not gone, f"a new file changes row {gone[:1]} of another; a key counts rows of its own file")
    demand(len(new.rows) == len(after), "rows of the new file do not come")


def what_is_read_is_what_was_planned(example: SourceExample, folder: Path) -> None:
    """A file that was replaced since the plan ends the read, whichever worker reads; none of its rows come."""
    before = sample_rows(example)
    written(example, folder, before)
    planned = seen_through(example, folder)
    rewritten(example, folder, [replace(row, pixels=255 - pixels_of(row)) for row in before])
    fresh = seen_through(example, folder)
    for reader in (planned.reader, fresh.reader):
        for part in planned.ranges:
            try:
                reader.read(part, fresh.reader.probe(), example.classes)
            except RunError:
                continue
            demand(False, f"{part.file} was replaced since the plan, and rows of the new file are given for planned")


def broken_images_are_quarantined(example: SourceExample, folder: Path) -> None:
    """An image that cannot be read costs its own row, with the reason, and takes no neighbour along."""
    rows = sample_rows(example)
    broken = [replace(row, pixels=None) if number in (1, 9) else row for number, row in enumerate(rows)]
    written(example, folder, broken)
    seen = seen_through(example, folder)
    wanted = sorted(image_sha256(row.pixels) for row in broken if row.pixels is not None)
    demand(
        sorted(row.sha256 for row in seen.rows.values()) == wanted,
        "an image that cannot be read takes rows along, or passes for one",
    )
    demand(len(seen.rejects) == 2, f"2 images cannot be read, and {len(seen.rejects)} rows are rejected")
    for reject in seen.rejects.values():
        demand(reject.stage == "read" and bool(reject.message), "a reject says neither where nor why")


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
    what_is_read_is_what_was_planned,
    nothing_is_read_elsewhere,
)
