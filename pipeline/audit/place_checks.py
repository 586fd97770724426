"""Checks of where stored rows come from: keys, indices, order and number of the rows that a shard's range holds."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from hardset.pipeline.audit.expected import Claims, Expected
from hardset.schemas.job.recipes import Sample
from hardset.schemas.job.sources import ParquetSource, UserSource

_ONE_SOURCE_ROW = ("label", "source_index", "source_sha256", "parent_row_id")
_ID_DIGITS = 32
_STAGES = ("read", "make", "judge")

Fault = tuple[int | None, str]


def place_faults(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    """Rows that do not lie where they say: row position and sentence."""
    claims = expected.claims
    if claims is None:
        return
    last = (-1, -1)
    names = ["source_key", "variant", *_ONE_SOURCE_ROW]
    parents: dict[int, tuple[object, ...]] = {}
    for i, row in enumerate(table.select(names).to_pylist()):
        place = claims.place_of(row["source_key"])
        if place is None:
            yield i, f"source_key is {row['source_key']!r}, which its shard does not hold"
            continue
        yield from ((i, what) for what in _row_faults(claims, place, row))
        if (place, row["variant"]) <= last:
            yield i, "stands out of order: rows follow their source, then their variant"
        last = max(last, (place, row["variant"]))
        origin = tuple(row[name] for name in _ONE_SOURCE_ROW)
        if parents.setdefault(place, origin) != origin:
            yield i, f"{', '.join(_ONE_SOURCE_ROW)} are not those of the other rows made from {row['source_key']}"


def _row_faults(claims: Claims, place: int, row: dict[str, object]) -> Iterator[str]:
    variant, label, index = row["variant"], row["label"], row["source_index"]
    if not isinstance(variant, int) or not 0 <= variant < claims.variants:
        yield f"variant is {variant}; its recipe makes 0 to {claims.variants - 1}"
    if index != claims.index_of(place):
        yield f"source_index is {index}; its source_key has {claims.index_of(place)}"
    if place in claims.left_out:
        yield "is made from a row that source.hold_out gives to the other part"
    if isinstance(claims.recipe, Sample) and label != place % claims.classes:
        yield f"label is {label}; sample {place} was asked for as {place % claims.classes}"
    if claims.part is not None and claims.part.label is not None and label != claims.part.label:
        yield f"label is {label}; its folder has {claims.part.label}"
    parent = row["parent_row_id"]
    if parent is not None:
        if not isinstance(claims.job.source, ParquetSource | UserSource):
            yield f"parent_row_id is filled; rows of {claims.job.source.format} are not made by hardset"
        elif not isinstance(parent, str) or len(parent) != _ID_DIGITS or not set(parent) <= set("0123456789abcdef"):
            yield f"parent_row_id is {parent!r}; wants {_ID_DIGITS} hex digits"


def quarantine_faults(table: pa.Table, expected: Expected) -> Iterator[Fault]:
    """Quarantined rows that contradict their shard: row position, None for the file, and sentence."""
    output, claims = expected.output, expected.claims
    shared = {"run_id": output.run_id, "source_split": output.split}
    if claims is not None:
        shared["recipe_id"] = claims.recipe_id
        if "source_dataset" in claims.shared:
            shared["source_dataset"] = claims.shared["source_dataset"]
    for i, row in enumerate(table.to_pylist()):
        for name, value in shared.items():
            if row[name] != value:
                yield i, f"{name} is {row[name]!r}; its shard has {value!r}"
        if row["stage"] not in _STAGES:
            yield i, f"stage is {row['stage']!r}; wants {', '.join(_STAGES)}"
        if claims is None:
            continue
        place = claims.place_of(row["source_key"])
        if place is None:
            yield i, f"source_key is {row['source_key']!r}, which its shard does not hold"
        elif row["source_index"] != claims.index_of(place):
            yield i, f"source_index is {row['source_index']}; its source_key has {claims.index_of(place)}"
        elif place in claims.left_out:
            yield i, "is a row that source.hold_out gives to the other part"


def coverage_faults(table: pa.Table | None, lost: pa.Table | None, expected: Expected) -> Iterator[str]:
    """What is wrong with the rows of a shard as a whole: every due one is stored, or quarantined, or may be dropped."""
    claims = expected.claims
    if claims is None:
        return
    stored, quarantined = _due(table, claims), _due(lost, claims)
    both = stored & quarantined
    if both:
        yield f"{len(both)} of its rows are stored and in quarantine, such as {_told(min(both))}"
    if lost is not None and len(quarantined) < lost.num_rows:
        yield "its quarantine holds a row twice, or one that is not its own"
    if claims.job.output.keep == "all" or expected.output.counts.dropped == 0:
        due = (claims.shard.rows - len(claims.left_out)) * claims.variants
        missing = due - len(stored | quarantined)
        if missing > 0:
            yield f"{missing} of the {due} rows that are due are neither stored nor in quarantine"


def _due(table: pa.Table | None, claims: Claims) -> set[tuple[int, int]]:
    if table is None:
        return set()
    pairs = zip(table["source_key"].to_pylist(), table["variant"].to_pylist(), strict=True)
    places = ((claims.place_of(key), variant) for key, variant in pairs)
    return {(place, variant) for place, variant in places if place is not None and variant is not None}


def _told(row: tuple[int, int]) -> str:
    return f"row {row[0]}, variant {row[1]}"
