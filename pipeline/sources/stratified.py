"""A stratified sample: of every class its share of the rows, chosen by a hash of their keys."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.labels import plain
from hardset.schemas.digests import sha256_hex
from hardset.schemas.job.sources import ImageSource, Limit
from hardset.schemas.records.run import SourceRange

Place = TypeVar("Place", bound="tuple[int, int]")


def stratum_of(label: Any) -> Hashable:
    """The class that a stored label names, whatever number it has; None where it names none."""
    value = plain(label)
    return value if isinstance(value, str) or (isinstance(value, int) and value >= 0) else None


def chosen(rows: Iterable[tuple[Hashable, str, Place]], number: int) -> list[Place]:
    """Places of a sample of so many rows, in their order. `rows`: class (None: never chosen), key and place of each.

    The smallest hashes of keys are taken, so a row that comes or goes moves few others.
    """
    heaps: dict[Hashable, list[tuple[int, Place]]] = defaultdict(list)
    counts: dict[Hashable, int] = defaultdict(int)
    for stratum, key, place in rows:
        if stratum is None:
            continue
        counts[stratum] += 1
        entry = (-int(sha256_hex(f"limit/{key}")[:16], 16), place)
        if len(heaps[stratum]) < number:
            heapq.heappush(heaps[stratum], entry)
        else:
            heapq.heappushpop(heaps[stratum], entry)
    quotas = shares(counts, number)
    return sorted(place for key, heap in heaps.items() for _, place in heapq.nlargest(quotas[key], heap))


def by_first(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    """The second numbers of each first one, of places in their order."""
    for number, group in groupby(places, key=lambda place: place[0]):
        yield number, [second for _, second in group]


def shares(counts: Mapping[Hashable, int], number: int) -> dict[Hashable, int]:
    """Rows to take of each class: in proportion, and at least one of each where there are enough (Sainte-Lague)."""
    order = sorted(counts, key=lambda one: (-counts[one], str(one)))
    found = dict.fromkeys(counts, 0) | dict.fromkeys(order[:number], 1)
    left = min(number, sum(counts.values())) - sum(found.values())
    heap = [(-counts[one] / 3, place, one) for place, one in enumerate(order) if found[one] and counts[one] > 1]
    heapq.heapify(heap)
    for _ in range(left):
        _, place, one = heapq.heappop(heap)
        found[one] += 1
        if found[one] < counts[one]:
            heapq.heappush(heap, (-counts[one] / (2 * found[one] + 1), place, one))
    return found


def limit_warnings(
    spec: ImageSource, source: SourceReader, ranges: Sequence[SourceRange], classes: Sequence[str]
) -> tuple[str, ...]:
    """Warning that the rows within `source.limit` miss classes; none for sources that cannot tell."""
    look = getattr(source, "labels_in", None)
    if spec.limit is None or look is None:
        return ()
    there = {stratum for part in ranges if not part.kept for stratum in map(stratum_of, look(part))} - {None}
    return missing_warning(f"source.limit: {spec.limit_rows:,} rows", len(there), classes, spec.limit)


def missing_warning(what: str, there: int, classes: Collection[str], limit: object = None) -> tuple[str, ...]:
    """Warning that rows hold only so many of the classes."""
    if there >= len(classes):
        return ()
    rows = limit if isinstance(limit, int) else None
    mend = f"; take a sample of all classes with limit: {{rows: {rows}, by: class}}" if rows else ""
    if isinstance(limit, Limit) and limit.rows < len(classes):
        mend = f"; take at least {len(classes)} rows"
    return (f"{what} hold {there} of {len(classes)} classes, so figures over them say nothing of the others{mend}",)
