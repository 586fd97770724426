"""Checks of stored rows that need no model and no source: their columns agree with each other and with the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hardset.pipeline.audit.expected import KIND_OF, Expected
from hardset.pipeline.audit.place_checks import place_faults
from hardset.pipeline.audit.recipe_checks import recipe_faults
from hardset.pipeline.dataset.files.png import decode_pngs
from hardset.schemas.digests import image_sha256, row_id, row_seed
from hardset.schemas.job.quantities import whole_levels, whole_pixels, whole_squares
from hardset.schemas.norms import NO_NORM, STORED_NORMS, Norm, norm_of
from hardset.schemas.records.counts import Counts
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED, OF_A_NORM, Column, columns_of
from hardset.schemas.rows.success import attacked_rows, succeeded

Fault = tuple[int | None, str]
"""Position of the row, None for the file as a whole, and what is wrong with it."""

_SHARED = ("recipe_id", "op", "source_dataset", "model_id", "verify_id")
"""Columns with one value for all rows of a shard."""
_OPTIONAL = ("margin", "confidence", "verify_id")
"""Columns beside predictions that may be empty where a run had no model."""
_AT_ONCE = 2**20
"""Number of bytes of pixels that are decoded together: few enough to stay in a processor's cache."""
_ROUNDING = 1e-3
"""Relative tolerance of figures that float32 logits and norms were rounded in."""
_FLOAT32_SLACK = 1 + 1e-6
"""Tolerance of norms: they are stored as float32, budgets are exact."""


def row_faults(table: pa.Table, expected: Expected) -> Iterator[Fault]:
    """Faults of rows that have the contract's schema. Later checks leave out rows in which an earlier one failed."""
    bad: set[int] = set()
    for check in _CHECKS:
        sound = np.setdiff1d(np.arange(table.num_rows), np.fromiter(bad, np.int64, len(bad)))
        rest = table.take(sound) if bad else table
        found = [(int(sound[i]), text) for i, text in check(rest, expected)] if rest.num_rows else []
        bad.update(i for i, _ in found)
        yield from found
    if not bad:
        yield from ((None, text) for text in _counts(table, expected.output.counts))


def _empty_values(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    kinds = table["kind"].to_pylist()
    present = set(kinds)
    for column in columns_of(expected.contract):
        if not any(_must_fill(column, kind) for kind in present):
            continue
        values = _bytes_of(table) if column.name == "image" else table[column.name]
        if values.null_count and not column.name.endswith("pred") and column.name not in _OPTIONAL:
            free = table["norm"].to_pylist() if column.name == OF_A_NORM else [None] * table.num_rows
            for i in _where(pc.is_null(values)):
                if _must_fill(column, kinds[i]) and free[i] != NO_NORM:
                    yield i, f"{column.name} is empty"
    if ADVERSARIAL in kinds:
        for name in ("clean_pred", "pred", "margin", "confidence"):
            yield from ((i, f"{name} is empty") for i in _where(pc.is_null(table[name])) if kinds[i] == ADVERSARIAL)


def _must_fill(column: Column, kind: str | None) -> bool:
    return kind is None or kind not in KIND_OF.values() or column.required_of(kind)


def _unlike_the_shard(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    """Rows that differ in what the run's records fix, or in what all rows of a shard share."""
    known = expected.claims.shared if expected.claims else {}
    wanted = {name: known[name] if name in known else _commonest(table[name]) for name in _SHARED}
    wanted |= {"run_id": expected.output.run_id, "width": expected.image.width, "height": expected.image.height}
    recipe = expected.recipes.get(wanted["recipe_id"])
    if recipe is None:
        yield from ((i, f"recipe_id {wanted['recipe_id']} is not in the manifest") for i in range(table.num_rows))
        return
    wanted["kind"] = KIND_OF[recipe["kind"]]
    if wanted["kind"] != GENERATED:
        wanted["source_split"] = expected.output.split
    if wanted["kind"] != AUGMENTED:
        wanted["model_sha256"] = recipe["model" if wanted["kind"] == ADVERSARIAL else "generator"]
    if wanted["kind"] == ADVERSARIAL:
        wanted["norm"] = STORED_NORMS[recipe["norm"]] if "norm" in recipe else NO_NORM
    for name, value in wanted.items():
        for i in _where(_unlike(table[name], value)):
            yield i, f"{name} is {table[name][i].as_py()!r}; its shard has {value!r}"
    targeted = pc.is_valid(table["target_label"])
    for i in _where(_unlike(targeted, _commonest(targeted))):
        yield i, "target_label is filled in some rows of its shard and empty in others"


def _classes(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    for column in columns_of(expected.contract):
        if column.is_class:
            values = table[column.name]
            outside = pc.or_(pc.less(values, 0), pc.greater_equal(values, expected.classes))
            for i in _where(pc.fill_null(outside, False)):
                yield i, f"{column.name} is {values[i].as_py()}; there are {expected.classes} classes"


def _identities(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    """Rows whose id, seed or path does not follow from their recipe, source and variant."""
    names = ("row_id", "seed", "recipe_id", "source_sha256", "source_key", "variant")
    paths = pc.struct_field(table["image"], "path").to_pylist()
    rows = zip(paths, *(table[name].to_pylist() for name in names), strict=True)
    for i, (path, this, seed, recipe, sha256, key, variant) in enumerate(rows):
        if row_id(recipe=recipe, source_sha256=sha256 or "", source_key=key, variant=variant) != this:
            yield i, "row_id does not follow from recipe_id, source_sha256, source_key and variant"
        elif row_seed(run_seed=expected.seed, recipe=recipe, source_key=key, variant=variant) != seed:
            yield i, "seed does not follow from the run's seed, recipe_id, source_key and variant"
        elif path != f"{this}.png":
            yield i, f"image.path is {path!r}; wants '{this}.png'"


def _image_faults(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    image = expected.image
    shape = (image.height, image.width, image.channels)
    files, digests = _bytes_of(table), table["image_sha256"].to_pylist()
    step = max(1, _AT_ONCE // (image.height * image.width * image.channels))
    for start in range(0, table.num_rows, step):
        pixels, good = decode_pngs(files.slice(start, step).to_pylist(), shape)
        for i in range(len(good)):
            if not good[i]:
                yield start + i, f"its image cannot be decoded as a PNG of {shape[0]} x {shape[1]} x {shape[2]}"
            elif image_sha256(pixels[i]) != digests[start + i]:
                yield start + i, "image_sha256 does not match the image"


def _verdicts(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    """Rows whose predictions, margins and success contradict each other."""
    for pred, margin in (("pred", "margin"), ("clean_pred", "clean_margin"), ("float_pred", "float_margin")):
        right = pc.equal(table[pred], table["label"])
        against = pc.if_else(right, pc.less(table[margin], 0), pc.greater(table[margin], 0))
        for i in _where(pc.fill_null(against, False)):
            values = f"{pred} is {table[pred][i].as_py()}, label {table['label'][i].as_py()}"
            yield i, f"{values}, {margin} {table[margin][i].as_py():.4f}: these contradict each other"
    chance = table["confidence"]
    for i in _where(pc.fill_null(pc.invert(pc.and_(pc.greater(chance, 0), pc.less_equal(chance, 1))), False)):
        yield i, f"confidence is {chance[i].as_py()}; wants more than 0 and at most 1"
    yield from _confidences(table, expected.classes)
    if table["kind"][0].as_py() != ADVERSARIAL:
        return
    columns = {name: table[name].to_numpy() for name in ("clean_pred", "pred", "label", "success")}
    targets = None if table["target_label"].null_count else table["target_label"].to_numpy()
    success = succeeded(columns["clean_pred"], columns["pred"], columns["label"], targets)
    for i in map(int, np.flatnonzero(success != columns["success"].astype(bool))):
        yield i, f"success is {bool(columns['success'][i])}; its own predictions say {bool(success[i])}"


def _confidences(table: pa.Table, classes: int) -> Iterator[tuple[int, str]]:
    """Rows whose confidence no logits with their margin have.

    With d the logit of the largest class less that of the label, or of the label less the next one, softmax leaves the
    largest class between 1 / (1 + e^-d + (K - 2) m), m being the most of each other class, and 1 / (1 + e^-d).
    """
    rows = np.flatnonzero(pc.and_(pc.is_valid(table["margin"]), pc.is_valid(table["confidence"])).to_numpy())
    margin, chance = (table[name].to_numpy()[rows].astype(np.float64) for name in ("margin", "confidence"))
    below = np.exp(-np.abs(margin))
    others = np.where(margin >= 0, below, 1.0)  # of a wrong prediction nothing but the label's share is known
    most, least = 1 / (1 + below), 1 / (1 + below + (classes - 2) * others)
    within = (chance <= most * (1 + _ROUNDING)) & (chance >= least * (1 - _ROUNDING))
    for i in np.flatnonzero(~within & (chance > 0) & (chance <= 1)).tolist():
        yield (
            int(rows[i]),
            f"confidence is {chance[i]:.4f}; a margin of {margin[i]:.4f} allows {least[i]:.4f} to {most[i]:.4f}",
        )


def _distances(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    """Adversarial rows that tell of larger changes than their budget allows, by their own columns."""
    if table["kind"][0].as_py() != ADVERSARIAL:
        return
    norm = table["norm"][0].as_py()
    if norm == NO_NORM:
        yield from _norms(table, expected)
        return
    name, allowed = _BUDGETS[norm_of(norm)]
    eps = table["eps"].to_numpy()
    limits = {value: allowed(value) for value in np.unique(eps).tolist()}
    spent = table[name].to_numpy().astype(np.float64)
    most = np.asarray([limits[value] for value in eps.tolist()], np.float64)
    over: NDArray[np.bool_] = ~(spent <= most) | ~(spent >= 0)
    for i in map(int, np.flatnonzero(over)):
        yield i, f"is outside its budget: {name} {spent[i]:g}, {norm} eps {eps[i]:.6g} allows {most[i]:g}"
    yield from ((i, text) for i, text in _norms(table, expected) if not over[i])


def _norms(table: pa.Table, expected: Expected) -> Iterator[tuple[int, str]]:
    """Rows whose distances no change of pixels has together, or that moved and kept their clean row's digest."""
    image = expected.image
    values = image.height * image.width * image.channels
    linf = table["linf_levels"].to_numpy() / 255
    l2 = table["l2"].to_numpy().astype(np.float64)
    names = ("linf_levels", "l2", "l1") if "l1" in table.column_names else ("linf_levels", "l2")
    l1 = table[names[-1]].to_numpy().astype(np.float64)
    pairs = [(linf, l2), (l2, linf * values**0.5)]
    if "l1" in names:
        pairs += [(l2, l1), (l1, l2 * values**0.5), (l2**2, linf * l1)]
    apart = np.logical_or.reduce([~(small <= large * (1 + _ROUNDING) + 1e-9) for small, large in pairs])
    for i in map(int, np.flatnonzero(apart)):
        told = ", ".join(f"{name} {table[name][i].as_py():g}" for name in names)
        yield i, f"its distances contradict each other: {told}"
    same = pc.equal(table["image_sha256"], table["source_sha256"]).to_numpy()
    for i in map(int, np.flatnonzero(same != (table["linf_levels"].to_numpy() == 0))):
        yield i, f"has linf_levels {table['linf_levels'][i].as_py()}, and its digests say otherwise"


_BUDGETS: Mapping[Norm, tuple[str, Callable[[float], float]]] = {
    "linf": ("linf_levels", whole_levels),
    "l2": ("l2", lambda eps: whole_squares(eps) ** 0.5 / 255 * _FLOAT32_SLACK),
    "l1": ("l1", lambda eps: whole_levels(eps) / 255 * _FLOAT32_SLACK),
    "l0": ("l0_pixels", whole_pixels),
}
"""The column that a budget limits, and the most that it may hold."""


_CHECKS = (
    *(_empty_values, _unlike_the_shard, _classes, place_faults, _identities),
    *(_image_faults, _verdicts, _distances, recipe_faults),
)
"""Each yields row positions and sentences."""


def _counts(table: pa.Table, counts: Counts) -> Iterator[str]:
    if table["kind"][0].as_py() != ADVERSARIAL:
        return
    success = pc.sum(table["success"]).as_py()
    if success != counts.success:
        yield f"{success} of its rows succeed; the manifest says {counts.success}"
    attacked = pc.sum(attacked_rows(table)).as_py()
    if not counts.dropped and attacked != counts.attacked:
        yield f"{attacked} of its rows count as attacked; the manifest says {counts.attacked}"
    fooled = sum(rows for name, rows in counts.signals.items() if name.startswith("transfer_fooled:"))
    if not counts.dropped and "transferred" in table.column_names:
        told = pc.sum(pc.if_else(attacked_rows(table), table["transferred"], 0)).as_py() or 0
        if told != fooled:
            yield f"its attacked rows fool held-out models {told} times; the manifest says {fooled}"


def _bytes_of(table: pa.Table) -> pa.ChunkedArray:
    return pc.struct_field(table["image"], "bytes")


def _commonest(values: pa.ChunkedArray) -> Any:
    counted = pc.value_counts(values)
    return max(counted.to_pylist(), key=lambda entry: entry["counts"])["values"]


def _unlike(values: pa.ChunkedArray, value: Any) -> pa.ChunkedArray:
    return pc.is_valid(values) if value is None else pc.fill_null(pc.not_equal(values, value), True)


def _where(mask: pa.Array | pa.ChunkedArray) -> list[int]:
    """Positions of the rows where the mask is true."""
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found
