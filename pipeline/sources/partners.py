"""Pools of partners: chosen once from a source, and read again by every worker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from hardset.pipeline.batches import CleanRows, Partners, joined
from hardset.pipeline.sources.base import SourceReader, narrowed, unfixed
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import Image, PartnerPool, SourceRange

MOST = 4096
"""Largest number of rows of a pool: 600 MB of photographs at 224 pixels."""
_WINDOW = 64
_LOOKED_AT = 4
"""Rows that are looked at for each that is taken, where the plan does not know classes."""


def choose_partners(
    source: SourceReader, ranges: Sequence[SourceRange], split: str, image: Image, classes: int, seed: int
) -> PartnerPool:
    """A pool of a split, with as many rows of each class as there are, or as fit.

    Raises JobError where the split has less than two rows, or one class only, so that nothing can be mixed.
    """
    own = [part for part in ranges if part.split == split and not part.kept]
    parts = _of_classes(own, classes, seed) if all(p.label is not None for p in own) else _windows(own, seed)
    rows = _read(source, parts, image, classes)
    taken = _stratified(rows, seed)
    if len(taken) < 2 or len(set(rows.labels[taken].tolist())) < 2:
        raise JobError(
            f"recipes: mixing needs rows of two classes in each split, and the split {split} has {len(taken)} "
            f"row{'s' * (len(taken) != 1)} of {len(set(rows.labels[taken].tolist()))}; remove the operation, or take "
            "more of the source"
        )
    pool = rows.take(taken)
    return PartnerPool(split=split, parts=tuple(parts), keys=pool.keys, digest=_digest(pool))


def read_partners(source: SourceReader, pool: PartnerPool, image: Image, classes: int) -> Partners:
    """The rows of a pool. Raises RunError where they are not those of the plan any more."""
    rows = _read(source, pool.parts, image, classes)
    places = {key: at for at, key in enumerate(rows.keys)}
    missing = [key for key in pool.keys if key not in places]
    if not missing:
        found = rows.take(np.array([places[key] for key in pool.keys], np.int64))
        if _digest(found) == pool.digest:
            return Partners(found.pixels, found.labels, found.keys, found.sha256)
    what = f"{missing[0]} is not there" if missing else "pixels or labels are others"
    raise RunError(f"source: the rows that mixing draws partners from have changed ({what}); start the run again")


def _read(source: SourceReader, parts: Iterable[SourceRange], image: Image, classes: int) -> CleanRows:
    # Parts of a range have no digest of their own; that of the pool covers pixels and labels.
    return joined([source.read(unfixed(part), image, classes)[0] for part in parts])


def _digest(rows: CleanRows) -> str:
    return digest([list(rows.keys), rows.labels.tolist(), list(rows.sha256)])


def _of_classes(ranges: Sequence[SourceRange], classes: int, seed: int) -> list[SourceRange]:
    """As many rows of each class as the others, from drawn ranges of it."""
    quota = max(1, MOST // max(classes, 1))
    found: list[SourceRange] = []
    for label in sorted({part.label for part in ranges if part.label is not None}):
        left = quota
        own = [part for part in ranges if part.label == label]
        for part in sorted(own, key=lambda one: _drawn(seed, one.file, one.start)):
            if left:
                count = min(left, part.rows)
                first = part.start + _drawn(seed, part.file, part.start, "first") % (part.rows - count + 1)
                found.append(narrowed(part, first, first + count))
                left -= count
    return found


def _windows(ranges: Sequence[SourceRange], seed: int) -> list[SourceRange]:
    """All rows of a small source; of a large one windows that lie as far from one another as they can."""
    total, wanted = sum(part.rows for part in ranges), MOST * _LOOKED_AT
    if total <= wanted:
        return list(ranges)
    found, step = [], total / (wanted // _WINDOW)
    start, due = 0, 0.0
    for part in ranges:
        while due < start + part.rows:
            jitter = _drawn(seed, part.file, int(due)) % max(int(step) - _WINDOW, 1)
            first = max(part.start, min(part.start + int(due - start) + jitter, part.stop - _WINDOW))
            found.append(narrowed(part, first, min(first + _WINDOW, part.stop)))
            due += step
        start += part.rows
    return found


def _stratified(rows: CleanRows, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Places of at most `MOST` rows, in turn one of each class while it has any; in the order of the source."""
    order = sorted(range(len(rows)), key=lambda at: _drawn(seed, rows.keys[at]))
    turns: dict[int, int] = {}
    ranked = []
    for at in order:
        label = int(rows.labels[at])
        turns[label] = turns.get(label, 0) + 1
        ranked.append((turns[label], at))
    return np.array(sorted(at for _, at in sorted(ranked, key=lambda one: one[0])[:MOST]), np.int64)


def _drawn(seed: int, *names: object) -> int:
    text = "\x1f".join(map(str, (seed, "partners", *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
