"""Checks of stored rows against the recipe that their records name: what it can draw, aim at, spend and flag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from hardset.pipeline.attacks import drawing
from hardset.pipeline.attacks.libraries import library_of
from hardset.pipeline.audit.expected import Claims, Expected
from hardset.pipeline.audit.spending import most_spent
from hardset.pipeline.augment.mixing import mixes, share_of
from hardset.pipeline.augment.parameters import draw, to_json
from hardset.pipeline.augment.table import operation_text
from hardset.pipeline.compute import rng
from hardset.schemas.digests import row_seed
from hardset.schemas.extensions import is_import_path
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.table import Operation
from hardset.schemas.job.quantities import Range, whole_levels, whole_pixels, whole_squares
from hardset.schemas.job.recipes import UNMEASURED, Attack, Augment, Sample
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED
from hardset.schemas.rows.flags import flags_of

_OF_ATTACKS = (
    *("norm", "eps", "target_label", "steps", "clean_pred", "float_pred", "clean_margin", "float_margin", "success"),
    *("linf_levels", "l2", "l1", "queries", "found_by", "flags", "transfer_pred", "transferred"),
)
_EMPTY = {
    ADVERSARIAL: (),
    AUGMENTED: (*_OF_ATTACKS, "model_id", "model_sha256"),
    GENERATED: (
        *(name for name in _OF_ATTACKS if name != "flags"),
        "params",
        "source_dataset",
        "source_split",
        "source_sha256",
        "parent_row_id",
    ),
}
"""Columns that no recipe fills in rows of a kind."""
_OF_MIXING = ("label_2", "label_weight", "partner_key", "partner_sha256")
_NONFINITE = "nonfinite_gradient"
"""Flag of attacked rows, and key of the share in their `params`."""
_SHARD_BOUND = "shard_bound"
"""Flag of every row that another library made."""
_SHA256 = 64
_DRAWN_ALIKE = 1e-6
"""Accepted difference of drawn parameters, relative: their last bits are those of the device that drew them."""
_CLOSE = 1e-3
"""Margins, absolute or relative, within which a pass of the search and the judge may disagree."""

Fault = tuple[int, str]


def recipe_faults(table: pa.Table, expected: Expected) -> Iterator[Fault]:
    """Rows that their recipe cannot have made: row position and sentence. Imports nothing that only records name."""
    claims = expected.claims
    yield from _empty(table)
    if table["kind"][0].as_py() == ADVERSARIAL:
        yield from _nonfinite_shares(table)
    if claims is None:
        return
    yield from _judged_by_none(table, claims)
    if isinstance(claims.recipe, Attack):
        for check in (_budgets, _targets, _spent, _found_by, _flags, _held_out_models):
            yield from check(table, claims, claims.recipe)
        if claims.job.output.keep == "success":
            yield from ((i, "does not succeed, and output.keep is success") for i in _false(table["success"]))
    elif isinstance(claims.recipe, Sample):
        yield from _unmeasured(table, claims.recipe)
    elif isinstance(claims.recipe, Augment):
        yield from _parameters(table, claims, claims.recipe)
        yield from _partners(table, claims, claims.recipe.ops)


def _empty(table: pa.Table) -> Iterator[Fault]:
    kind = table["kind"][0].as_py()
    for name in _EMPTY.get(kind, ()):
        if name in table.column_names:
            yield from ((i, f"{name} is filled; {kind} rows have none") for i in _true(pc.is_valid(table[name])))


def _unmeasured(table: pa.Table, recipe: Sample) -> Iterator[Fault]:
    """Generated rows that do not say whether their generator was measured as their recipe does."""
    if "flags" in table.column_names:
        wanted = UNMEASURED if recipe.admit == UNMEASURED else None
        for i, found in enumerate(table["flags"].to_pylist()):
            if found != wanted:
                yield i, f"flags is {found!r}; its recipe has {wanted!r}"


def _nonfinite_shares(table: pa.Table) -> Iterator[Fault]:
    """Attacked rows hold the share of their gradient that was not finite where a flag says so, else nothing."""
    if not {"params", "flags"} <= set(table.column_names):
        return
    for i, (text, flags) in enumerate(zip(table["params"].to_pylist(), table["flags"].to_pylist(), strict=True)):
        flagged = _NONFINITE in flags_of(flags)
        if text is None:
            if flagged:
                yield i, f"params is empty; the flag {_NONFINITE} wants a share there"
        elif not flagged:
            yield i, f"params is filled; {ADVERSARIAL} rows have none without the flag {_NONFINITE}"
        else:
            found = _json(text)
            share = found.get(_NONFINITE) if isinstance(found, dict) and len(found) == 1 else None
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                yield i, f"params is {text[:80]!r}; the flag {_NONFINITE} wants a share in [0, 1] there"


def _judged_by_none(table: pa.Table, claims: Claims) -> Iterator[Fault]:
    if claims.job.model is None:
        for name in ("pred", "margin", "confidence"):
            yield from ((i, f"{name} is filled; its job names no model") for i in _true(pc.is_valid(table[name])))


def _budgets(table: pa.Table, claims: Claims, recipe: Attack) -> Iterator[Fault]:
    stored, variants = table["eps"].to_numpy(), table["variant"].to_numpy()
    if isinstance(recipe.eps, tuple):
        listed = np.asarray([float(one) for one in recipe.eps])
        wanted = listed[np.clip(variants, 0, len(listed) - 1)]
    elif isinstance(recipe.eps, Range):
        wanted = drawing.amounts(recipe.eps, _tensor(table["seed"]), rng.Draw.EPS)
    else:
        wanted = np.full(len(stored), float(recipe.eps))
    for i in map(int, np.flatnonzero(~np.isclose(stored, wanted, rtol=1e-12, atol=0))):
        yield i, f"eps is {stored[i]:.6g}; its recipe gives it {wanted[i]:.6g}"


def _targets(table: pa.Table, claims: Claims, recipe: Attack) -> Iterator[Fault]:
    stored = table["target_label"]
    if recipe.target is None:
        yield from ((i, "target_label is filled; its attack aims at no class") for i in _true(pc.is_valid(stored)))
        return
    yield from ((i, "target_label is empty; its attack aims at a class") for i in _true(pc.is_null(stored)))
    if stored.null_count or recipe.target == "least_likely":  # which takes the model to tell
        return
    # All budgets of a source row share its target, which the seed of the first variant draws.
    first = [
        row_seed(run_seed=claims.job.seed, recipe=claims.recipe_id, source_key=key, variant=0)
        for key in table["source_key"].to_pylist()
    ]
    nothing = torch.zeros(table.num_rows, claims.classes)
    wanted = drawing.targets(recipe.target, _tensor(table["label"]), torch.tensor(first), nothing).tolist()
    for i, (one, other) in enumerate(zip(stored.to_pylist(), wanted, strict=True)):
        if one != other:
            yield i, f"target_label is {one}; its recipe draws {other}"


def _spent(table: pa.Table, claims: Claims, recipe: Attack) -> Iterator[Fault]:
    most = most_spent(recipe, claims.classes)
    for name, limit in () if most is None else (("steps", most.steps), ("queries", most.queries)):
        if name in table.column_names:
            values = table[name].to_numpy()
            for i in map(int, np.flatnonzero((values > limit) | (values < 0))):
                yield i, f"{name} is {values[i]}; its recipe can spend 0 to {limit}"


def _found_by(table: pa.Table, claims: Claims, recipe: Attack) -> Iterator[Fault]:
    declared = ATTACKS.get(recipe.name)
    names = declared.stages if declared and declared.stages else (recipe.name,)
    if declared is not None and "found_by" in table.column_names:
        for i, value in enumerate(table["found_by"].to_pylist()):
            if value not in names:
                yield i, f"found_by is {value!r}; its recipe runs {', '.join(names)}"


def _flags(table: pa.Table, claims: Claims, recipe: Attack) -> Iterator[Fault]:
    """Rows whose flags do not follow from their own columns and the recipe."""
    if "flags" not in table.column_names:
        return
    norm_budget = {"l2": whole_squares, "l0": whole_pixels}.get(recipe.norm, whole_levels)
    stochastic = claims.job.stochastic
    names = (
        *("flags", "eps", "label", "target_label", "clean_pred", "clean_margin", "linf_levels", "steps", "queries"),
        *("float_pred", "pred", "margin"),
    )
    for i, row in enumerate(table.select(names).to_pylist()):
        flags = set(flags_of(row["flags"]))
        for flag, holds in _implied(row, flags, recipe, stochastic=stochastic, budget=norm_budget):
            if holds != (flag in flags):
                yield i, f"is {'not ' if holds else ''}flagged {flag}, and its columns say otherwise"


def _implied(
    row: dict[str, Any], flags: set[str], recipe: Attack, *, stochastic: bool, budget: Any
) -> Iterator[tuple[str, bool]]:
    """Flags that follow from a row's columns, and whether they must be there; those that may be are left out."""
    none = budget(row["eps"]) == 0
    own = row["target_label"] is not None and row["target_label"] == row["label"]
    wrong = row["clean_pred"] != row["label"]
    yield "no_budget", none
    yield "target_is_label", own
    if recipe.misclassified == "attack" or row["clean_margin"] is None:
        yield "misclassified", False
    elif abs(row["clean_margin"]) > _CLOSE:
        yield "misclassified", wrong
    skipped = none or own or "misclassified" in flags
    yield "unmoved", not skipped and row["linf_levels"] == 0
    asked = row["steps"] + row["queries"]
    if row["steps"] == 0:
        yield "zero_gradient", False
    if asked == 0:
        yield "no_rise", False
    if not stochastic:
        yield "stochastic", False
    yield from _implied_of_foreign(row, flags, recipe, stochastic=stochastic)


def _implied_of_foreign(
    row: dict[str, Any], flags: set[str], recipe: Attack, *, stochastic: bool
) -> Iterator[tuple[str, bool]]:
    """Flags that rows of other libraries have and no others; an import path alone may be of either."""
    if recipe.name in ATTACKS:
        yield from ((flag, False) for flag in ("cut_back", "lost_in_storing", _SHARD_BOUND))
        return
    if library_of(recipe.name) is not None:
        yield _SHARD_BOUND, True
    if _SHARD_BOUND not in flags:
        yield from ((flag, False) for flag in ("cut_back", "lost_in_storing"))
    elif not stochastic and abs(row["margin"]) > _CLOSE:
        yield "lost_in_storing", row["float_pred"] != row["label"] and row["pred"] == row["label"]


def _held_out_models(table: pa.Table, claims: Claims, recipe: Attack) -> Iterator[Fault]:
    if "transfer_pred" not in table.column_names:
        return
    names = {model.name for model in claims.job.transfer_to}
    for i, text in enumerate(table["transfer_pred"].to_pylist()):
        try:
            preds = json.loads(text) if text else {}
        except ValueError:
            preds = {}
        if set(preds) != names:
            yield i, f"transfer_pred does not name the held-out models: {', '.join(sorted(names)) or 'none'}"
        elif any(not _is_class(pred, claims.classes) for pred in preds.values()):
            yield i, f"transfer_pred holds no class of {claims.classes}: {text}"


def _is_class(pred: object, classes: int) -> bool:
    return pred is None or (isinstance(pred, int) and not isinstance(pred, bool) and 0 <= pred < classes)


def _parameters(table: pa.Table, claims: Claims, recipe: Augment) -> Iterator[Fault]:
    """Augmented rows whose `params` are not what their seed draws.

    Left out are those of operations from elsewhere, whose code would run, and of others that have changed since.
    """
    ops = [one for one in recipe.ops if isinstance(one, OperationSettings)]
    text = claims.text.get("ops")
    if len(ops) < len(recipe.ops) or _names_code(text) or [operation_text(one) for one in ops] != text:
        return
    stored = table["params"].to_pylist()
    drawn = to_json(draw(ops, _tensor(table["seed"])), len(stored))
    for i, (text, again) in enumerate(zip(stored, drawn, strict=True)):
        if text != again and not _alike(_json(text), json.loads(again)):
            yield i, "params are not what its seed draws"


def _names_code(node: Any) -> bool:
    """Whether a list of operations names code from elsewhere, at any depth."""
    if isinstance(node, dict | list):
        return any(map(_names_code, node.values() if isinstance(node, dict) else node))
    return isinstance(node, str) and is_import_path(node)


def _partners(table: pa.Table, claims: Claims, ops: Sequence[Operation]) -> Iterator[Fault]:
    """Rows whose partner, or share of their own class, is not what `params` say; or that have one without mixing."""
    columns = [table[name].to_pylist() for name in _OF_MIXING if name in table.column_names]
    position = next((number for number, one in enumerate(ops) if mixes(one)), None)
    for i, values in enumerate(zip(*columns, strict=True)):
        steps = _json(table["params"][i].as_py())
        fits = position is not None and isinstance(steps, list) and len(steps) == len(ops)
        drawn = steps[position or 0] if fits else {}
        if not isinstance(drawn, dict) or not drawn.get("applied"):
            if any(value is not None for value in values):
                yield i, f"{', '.join(_OF_MIXING)} are filled; nothing was mixed into it"
            continue
        yield from ((i, fault) for fault in _partner(drawn, values, (table, i), claims))


def _partner(drawn: dict[str, Any], values: Sequence[Any], at: tuple[pa.Table, int], claims: Claims) -> Iterator[str]:
    label, weight, key, digest = values
    if None in values or not _is_class(label, claims.classes) or len(str(digest)) != _SHA256:
        yield f"{', '.join(_OF_MIXING)} are not those of a row with a partner"
        return
    table, row = at
    try:
        share = share_of(str(drawn["name"]), (table["height"][row].as_py(), table["width"][row].as_py()), drawn)
        place = int(drawn["partner"]) * len(claims.partners) >> 31
    except (KeyError, TypeError, ValueError, IndexError):
        return  # other checks name params that are none
    if abs(weight - share) > _DRAWN_ALIKE:
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


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _tensor(values: pa.ChunkedArray) -> torch.Tensor:
    numbers: NDArray[np.int64] = values.to_numpy().astype(np.int64)
    return torch.from_numpy(numbers.copy())


def _true(mask: pa.Array | pa.ChunkedArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


def _false(values: pa.ChunkedArray) -> list[int]:
    return _true(pc.invert(pc.fill_null(values, False)))
