"""Detects gradient masking by its symptoms: flags are counted per shard, and a run warns if there are many.

The symptoms are those of Athalye et al. 2018 (https://arxiv.org/abs/1802.00420) and of AutoAttack's checks (Croce and
Hein 2020, https://arxiv.org/abs/2003.01690), whose threshold for Square is used here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardset.schemas.job.recipe_texts import name_and_norm
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Output
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.flags import FLAGS, flags_of
from hardset.schemas.rows.success import attacked_rows

GRADIENT_FREE = "square"
"""Name of the gradient-free attack."""
SEVERAL_STEPS = "several_steps"
_COUNTED = ("flag:", "found_by:", SEVERAL_STEPS)
_LOOKED_AT = [
    *("kind", "success", "steps", "queries", "found_by", "flags"),
    *("transfer_pred", "transferred"),
]
_SQUARE_SHARE = Fraction(2, 1000)
_ZERO_GRADIENT_SHARE = Fraction(1, 100)
_LOST_SHARE = Fraction(1, 100)
_NO_RISE_SHARE = Fraction(1, 2)


def signals_of(columns: Mapping[str, Any], attacked: NDArray[np.bool_]) -> dict[str, int]:
    """Value of `Counts.signals` for rows with the columns `flags`, `found_by`, `success` and `steps`.

    `attacked` (N,): mask of the rows over which success is counted.
    """
    found: defaultdict[str, int] = defaultdict(int)
    several = np.asarray(columns["steps"]) > 1
    for i in map(int, np.flatnonzero(attacked)):
        flags = flags_of(columns["flags"][i])
        for flag in flags:
            found[f"flag:{flag}"] += 1
        if several[i]:
            found[SEVERAL_STEPS] += 1
            if "no_rise" in flags:
                found[f"{SEVERAL_STEPS}:no_rise"] += 1
        if columns["success"][i]:
            found[f"found_by:{columns['found_by'][i]}"] += 1
    return dict(sorted(found.items()))


def flag_counts(counts: Counts) -> dict[str, int]:
    """Number of attacked rows by flag, in the order of `FLAGS`."""
    return {name: counts.signals[f"flag:{name}"] for name in FLAGS if f"flag:{name}" in counts.signals}


def signal_faults(table: pa.Table, counts: Counts) -> Iterator[tuple[int | None, str]]:
    """Contradictions in the adversarial rows of one file: row position (None for the whole file) and a sentence.

    `counts`: the manifest's counts for the file. Rows of other kinds are ignored.
    """
    rows = table.select(_LOOKED_AT).to_pylist()
    for i, row in enumerate(rows):
        if row["kind"] == ADVERSARIAL:
            yield from ((i, text) for text in _row_faults(row))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _LOOKED_AT}
    columns["steps"] = [steps or 0 for steps in columns["steps"]]
    listed = {name: number for name, number in counts.signals.items() if name.startswith(_COUNTED)}
    if not counts.dropped and signals_of(columns, np.asarray(attacked_rows(table))) != listed:
        yield None, "its rows do not carry the signals that the manifest counts"


def _row_faults(row: Mapping[str, Any]) -> Iterator[str]:
    names = flags_of(row["flags"])
    unknown = [name for name in names if name not in FLAGS]
    if unknown:
        yield f"flags holds {', '.join(map(repr, unknown))}; wants names out of {', '.join(FLAGS)}"
    elif list(names) != [name for name in FLAGS if name in names]:
        yield f"flags holds {row['flags']!r}, which is not in order"
    for name in ("steps", "queries"):
        if row[name] is not None and row[name] < 0:
            yield f"{name} is {row[name]}; wants 0 or more"
    if (row["transfer_pred"] is None) != (row["transferred"] is None):
        yield "of transfer_pred and transferred only one is filled"
    elif row["transfer_pred"] is not None:
        preds = _json_object(row["transfer_pred"])
        if preds is None:
            yield "transfer_pred is no JSON object"
        elif not 0 <= row["transferred"] <= len(preds):
            yield f"transferred is {row['transferred']} of {len(preds)} models"


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def run_warnings(recipes: Sequence[Mapping[str, Any]], parts: Iterable[Output]) -> tuple[str, ...]:
    """Warnings of a whole run. `recipes`: as listed in the plan's job; `parts`: committed shards."""
    committed = list(parts)
    counts: defaultdict[int, Counts] = defaultdict(Counts)
    for part in committed:
        counts[part.recipe] += part.counts
    found = [
        f"Recipe {position + 1} ({', '.join(name_and_norm(recipe))}): {text}"
        for position, recipe in enumerate(recipes)
        if recipe["kind"] == "attack"
        for text in warnings_of(counts[position], recipe)
    ]
    return (*found, *_divided(committed))


def _divided(parts: Sequence[Output]) -> Iterator[str]:
    """Warning about shards whose batches did not fit into the device's memory."""
    sizes = [part.device_batch for part in parts if part.device_batch is not None]
    if sizes:
        yield (
            f"The device's memory did not hold a whole batch in {len(sizes):,} of {len(parts):,} shards, which were "
            f"made in parts of as few as {min(sizes):,} rows; these may be rounded otherwise than whole batches, so a "
            "device with more memory may give other bytes; set run.batch to what fits, which makes all shards anew, "
            "or leave the device to hardset alone"
        )


def warnings_of(counts: Counts, recipe: Mapping[str, Any]) -> list[str]:
    """One sentence per symptom of an attack's rows: what, how many, what it means, what to do."""
    found = []
    for symptom in _SYMPTOMS:
        rows = counts.signals.get(symptom.signal, 0)
        of = counts.signals.get(SEVERAL_STEPS, 0) if symptom.several_steps else counts.attacked
        if rows > symptom.share * of and symptom.applies(recipe):
            found.append(symptom.text.format(rows=_of(rows, of, several_steps=symptom.several_steps)))
    return found


def _of(rows: int, attacked: int, *, several_steps: bool) -> str:
    noun = f"attacked row{'' if attacked == 1 else 's'}{' with more than one step' if several_steps else ''}"
    return f"{rows:,} of {attacked:,} {noun} ({rows / attacked:.1%})"


@dataclass(frozen=True)
class _Symptom:
    signal: str
    share: Fraction
    """Share of the counted rows above which the run warns."""
    text: str
    several_steps: bool = False
    """Whether only attacked rows with more than one step are counted, instead of all attacked rows."""
    applies: Callable[[Mapping[str, Any]], bool] = lambda recipe: True


_SYMPTOMS = (
    _Symptom(
        f"found_by:{GRADIENT_FREE}",
        _SQUARE_SHARE,
        "square, which uses no gradients, broke {rows} after every gradient attack had failed, so the model's "
        "gradients mislead and its robustness looks better than it is; measure this model with square among the "
        "attacks, and add pma or apgd_dlr with more restarts",
        applies=lambda recipe: recipe["name"] != GRADIENT_FREE,
    ),
    _Symptom(
        "flag:zero_gradient",
        _ZERO_GRADIENT_SHARE,
        "the gradient was zero for half or more of the steps of {rows}, as it is behind saturated logits or a rounding "
        "layer, so these rows were hardly attacked; use apgd_dlr or pma, whose objectives do not saturate, or square, "
        "which needs no gradients",
    ),
    _Symptom(
        "flag:nonfinite_gradient",
        Fraction(0),
        "the gradient held NaN or infinity for {rows}; such components count as 0, so the pixels they belong to move "
        "little or not at all and resisting rows say less than they seem to; keep sqrt, log, division and powers below "
        "1 away from 0 in the model, as (x + 1e-6) ** p does, or attack with square, which needs no gradients",
    ),
    _Symptom(
        f"{SEVERAL_STEPS}:no_rise",
        _NO_RISE_SHARE,
        "the loss never rose above its start for {rows}, so the steps lead nowhere and resisting rows say little; try "
        "apgd_ce, which adapts its step size, pma, or square, which needs no gradients",
        several_steps=True,
    ),
    _Symptom(
        "flag:few_classes",
        Fraction(0),
        "the model has fewer classes than the objective needs, so {rows} were attacked with the margin instead, and "
        "the figures do not compare with the objective's own; use apgd_ce, or pgd with objective: margin",
    ),
    _Symptom(
        "flag:no_budget",
        Fraction(0),
        "eps holds no 8-bit level for {rows}, so they are stored unchanged and were not attacked; raise eps to 1/255 "
        "or more",
    ),
    _Symptom(
        "flag:cut_back",
        Fraction(0),
        "the library's images left the budget or [0, 1] for {rows} and were brought back, which costs them strength; "
        "give the recipe the norm and eps of the library's attack, or let its settings stay within them",
    ),
    _Symptom(
        "flag:lost_in_storing",
        _LOST_SHARE,
        "the library's images fooled the model, and rounded to 8 bits within the budget they do not, for {rows}; "
        "take more steps, or an attack of hardset, which searches on the 8-bit grid",
    ),
    _Symptom(
        "flag:stochastic",
        Fraction(0),
        "the model answers at random and changed its mind about {rows} under another seed, so their verdicts are a "
        "matter of chance; use eot: 20 or more, which averages gradients over its randomness",
    ),
)
