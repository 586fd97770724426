"""Checks of stored rows against the recipe that their records name: what it can draw, aim at, spend and flag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from hardset.pipeline.attacks import drawing
from hardset.pipeline.attacks.libraries import library_of
from hardset.pipeline.audit.drawn_checks import augment_faults, is_class, parsed, worst_of_faults
from hardset.pipeline.audit.expected import Claims, Expected
from hardset.pipeline.audit.spending import most_spent
from hardset.pipeline.compute import rng
from hardset.schemas.digests import row_seed
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.quantities import Range, whole_levels, whole_pixels, whole_squares
from hardset.schemas.job.recipes import UNMEASURED, Attack, Augment, Sample, WorstOf, is_attack
from hardset.schemas.norms import NO_NORM
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
_NONFINITE = "nonfinite_gradient"
"""Flag of attacked rows, and key of the share in their `params`."""
_SHARD_BOUND = "shard_bound"
"""Flag of every row that another library made."""
_CLOSE = 1e-3
"""Margins, absolute or relative, within which a pass of the search and the judge may disagree."""

Fault = tuple[int, str]


def recipe_faults(table: pa.Table, expected: Expected) -> Iterator[Fault]:
    """Rows that their recipe cannot have made: row position and sentence. Imports nothing that only records name."""
    claims = expected.claims
    yield from _empty(table)
    if table["kind"][0].as_py() == ADVERSARIAL and table["norm"][0].as_py() != NO_NORM:
        yield from _nonfinite_shares(table)
    if claims is None:
        return
    yield from _judged_by_none(table, claims)
    if isinstance(claims.recipe, Attack):
        for check in (_budgets, _targets, _spent, _found_by, _flags):
            yield from check(table, claims, claims.recipe)
        yield from _held_out_models(table, claims)
    elif isinstance(claims.recipe, Sample):
        yield from _unmeasured(table, claims.recipe)
    elif isinstance(claims.recipe, Augment):
        yield from augment_faults(table, claims, claims.recipe)
    elif isinstance(claims.recipe, WorstOf):
        yield from worst_of_faults(table, claims, claims.recipe)
        yield from _held_out_models(table, claims)
    if is_attack(claims.recipe) and claims.job.output.keep == "success":
        yield from ((i, "does not succeed, and output.keep is success") for i in _false(table["success"]))


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
            found = parsed(text)
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
        yield "lost_in_storing", _reached(row, row["float_pred"]) and not _reached(row, row["pred"])


def _reached(row: dict[str, Any], pred: int) -> bool:
    """Whether a prediction is what the row's attack is after."""
    target, label = row["target_label"], row["label"]
    return bool(pred != label) if target is None else bool(pred == target and target != label)


def _held_out_models(table: pa.Table, claims: Claims) -> Iterator[Fault]:
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
        elif any(not is_class(pred, claims.classes) for pred in preds.values()):
            yield i, f"transfer_pred holds no class of {claims.classes}: {text}"


def _tensor(values: pa.ChunkedArray) -> torch.Tensor:
    numbers: NDArray[np.int64] = values.to_numpy().astype(np.int64)
    return torch.from_numpy(numbers.copy())


def _true(mask: pa.Array | pa.ChunkedArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


def _false(values: pa.ChunkedArray) -> list[int]:
    return _true(pc.invert(pc.fill_null(values, False)))
