"""Checks of what rows say that operations drew: parameters, partners, and the worst of several draws."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from hardset.pipeline.audit.expected import Claims
from hardset.pipeline.augment.mixing import share_of
from hardset.pipeline.augment.parameters import draw, to_json
from hardset.pipeline.augment.table import operation_text
from hardset.pipeline.recipes.worst_of import drawn_in_try
from hardset.schemas.extensions import is_import_path
from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.table import Operation, needs_partner
from hardset.schemas.job.recipes import Augment, WorstOf
from hardset.schemas.rows.flags import flags_of

_OF_MIXING = ("label_2", "label_weight", "partner_key", "partner_sha256")
_SHA256 = 64
_DRAWN_ALIKE = 1e-6
"""Accepted difference of drawn parameters, relative: their last bits are those of the device that drew them."""
_CLOSE = 1e-3
"""Margins within which a pass of the search and the judge may disagree."""

Fault = tuple[int, str]


def augment_faults(table: pa.Table, claims: Claims, recipe: Augment) -> Iterator[Fault]:
    """Augmented rows whose parameters or partners are not those that their seed draws."""
    yield from _parameters(table, claims, recipe)
    yield from _partners(table, claims, recipe.ops)


def worst_of_faults(table: pa.Table, claims: Claims, recipe: WorstOf) -> Iterator[Fault]:
    """Rows of natural changes as an attack whose parameters, cost or flags do not follow from seed and recipe."""
    ops = _known(recipe.ops, claims)
    names = ("seed", "params", "flags", "steps", "queries", "found_by", "label", "target_label", "clean_pred")
    rows = table.select([*names, "clean_margin", "linf_levels"]).to_pylist()
    for i, row in enumerate(rows):
        flags = flags_of(row["flags"])
        skipped = "misclassified" in flags
        yield from ((i, text) for text in _spent(row, recipe, skipped=skipped))
        yield from ((i, text) for text in _worst_flags(row, recipe, flags))
        if skipped:
            if row["params"] is not None:
                yield i, "params is filled; the row was skipped as misclassified"
            continue
        found = parsed(row["params"] or "")
        if not isinstance(found, dict) or set(found) != {"try", "ops"} or not _is_try(found["try"], recipe.tries):
            yield i, f"params is {str(row['params'])[:80]!r}; wants a try below {recipe.tries}, and what it drew"
        elif ops is not None:
            drawn, _ = drawn_in_try(ops, np.array([row["seed"]], np.int64), found["try"])
            if not _alike(found["ops"], json.loads(to_json(drawn, 1)[0])):
                yield i, f"params are not what its seed draws in try {found['try']}"


def _is_try(value: Any, tries: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < tries


def _spent(row: dict[str, Any], recipe: WorstOf, *, skipped: bool) -> Iterator[str]:
    wanted = {"steps": 0, "queries": 0 if skipped else recipe.tries, "found_by": WORST_OF, "target_label": None}
    for name, value in wanted.items():
        if row[name] != value:
            yield f"{name} is {row[name]!r}; its recipe gives it {value!r}"


def _worst_flags(row: dict[str, Any], recipe: WorstOf, flags: Sequence[str]) -> Iterator[str]:
    skipped = "misclassified" in flags
    implied = {"unmoved": not skipped and row["linf_levels"] == 0}
    if recipe.misclassified == "attack":
        implied["misclassified"] = False
    elif row["clean_margin"] is not None and abs(row["clean_margin"]) > _CLOSE:
        implied["misclassified"] = row["clean_pred"] != row["label"]
    for flag in dict.fromkeys((*implied, *flags)):
        holds = implied.get(flag, flag == "misclassified" and skipped)
        if holds != (flag in flags):
            yield f"is {'not ' if holds else ''}flagged {flag}, and its columns say otherwise"


def _known(listed: Sequence[Operation], claims: Claims) -> list[OperationSettings] | None:
    """The operations of a recipe; None where code from elsewhere would run, or theirs has changed since."""
    ops = [one for one in listed if isinstance(one, OperationSettings)]
    text = claims.text.get("ops")
    if len(ops) < len(listed) or _names_code(text) or [operation_text(one) for one in ops] != text:
        return None
    return ops


def _parameters(table: pa.Table, claims: Claims, recipe: Augment) -> Iterator[Fault]:
    """Augmented rows whose `params` are not what their seed draws.

    Left out are those of operations from elsewhere, whose code would run, and of others that have changed since.
    """
    ops = _known(recipe.ops, claims)
    if ops is None:
        return
    stored, seeds = table["params"].to_pylist(), table["seed"].to_numpy().astype(np.int64)
    drawn = to_json(draw(ops, torch.from_numpy(seeds)), len(stored))
    for i, (text, again) in enumerate(zip(stored, drawn, strict=True)):
        if text != again and not _alike(parsed(text), json.loads(again)):
            yield i, "params are not what its seed draws"


def _names_code(node: Any) -> bool:
    """Whether a list of operations names code from elsewhere, at any depth."""
    if isinstance(node, dict | list):
        return any(map(_names_code, node.values() if isinstance(node, dict) else node))
    return isinstance(node, str) and is_import_path(node)


def _partners(table: pa.Table, claims: Claims, ops: Sequence[Operation]) -> Iterator[Fault]:
    """Rows whose partner, or share of their own class, is not what `params` say; or that have one without mixing."""
    columns = [table[name].to_pylist() for name in _OF_MIXING if name in table.column_names]
    position = next((number for number, one in enumerate(ops) if needs_partner(one)), None)
    for i, values in enumerate(zip(*columns, strict=True)):
        steps = parsed(table["params"][i].as_py())
        fits = position is not None and isinstance(steps, list) and len(steps) == len(ops)
        drawn = steps[position or 0] if fits else {}
        if not isinstance(drawn, dict) or not drawn.get("applied"):
            if any(value is not None for value in values):
                yield i, f"{', '.join(_OF_MIXING)} are filled; nothing was mixed into it"
            continue
        yield from ((i, fault) for fault in _partner(drawn, values, (table, i), claims))


def _partner(drawn: dict[str, Any], values: Sequence[Any], at: tuple[pa.Table, int], claims: Claims) -> Iterator[str]:
    label, weight, key, digest = values
    table, row = at
    try:
        share = share_of(str(drawn["name"]), (table["height"][row].as_py(), table["width"][row].as_py()), drawn)
        place = int(drawn["partner"]) * len(claims.partners) >> 31
    except (KeyError, TypeError, ValueError, IndexError):
        return  # other checks name params that are none
    whole = share is None and label is None and weight is None
    mixed = share is not None and None not in (label, weight) and is_class(label, claims.classes)
    if not (whole or mixed) or key is None or len(str(digest)) != _SHA256:
        yield f"{', '.join(_OF_MIXING)} are not those of a row with a partner"
        return
    if share is not None and abs(weight - share) > _DRAWN_ALIKE:
        yield f"label_weight is {weight:g}; its params leave {share:g} of its own class"
    if not 0 <= place < len(claims.partners) or claims.partners[place] != key:
        yield f"partner_key is {key}, which its params do not draw from the plan's pool"


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= _DRAWN_ALIKE * max(1.0, abs(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return type(one) is type(other) and bool(one == other)


def parsed(text: str) -> Any:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_class(pred: object, classes: int) -> bool:
    """Whether a value of JSON is a class, or empty."""
    return pred is None or (isinstance(pred, int) and not isinstance(pred, bool) and 0 <= pred < classes)
