"""Flags of rows, nearly all of adversarial ones: the names in the `flags` column, each with its meaning and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEPARATOR = ","


@dataclass(frozen=True)
class Flag:
    """Meaning of a flag, and its remedy."""

    meaning: str
    remedy: str


FLAGS: dict[str, Flag] = {
    "zero_gradient": Flag(
        "half or more of the row's steps had a gradient of zeros only",
        "an objective that does not saturate: apgd_dlr, pma, or objective: margin; square needs no gradients",
    ),
    "nonfinite_gradient": Flag(
        "some components of the row's gradients were NaN or infinite, and counted as 0; `params` has their share",
        "a model without roots, logarithms or divisions at 0, such as (x + 1e-6) ** 0.5; square needs no gradients",
    ),
    "no_rise": Flag(
        "the loss never rose above its start",
        "another step size or objective, apgd_ce, which adapts its steps, or square, which needs no gradients",
    ),
    "few_classes": Flag(
        "too few classes for the objective, which fell back to the margin",
        "apgd_ce, or pgd with objective: margin, which work with two classes",
    ),
    "stochastic": Flag(
        "under another seed the model predicts another class for the stored image",
        "an eot of 20 or more, which averages gradients over the model's randomness",
    ),
    "no_budget": Flag(
        "eps holds no 8-bit level, so that the row is stored unchanged",
        "an eps of 1/255 or more",
    ),
    "unmoved": Flag(
        "stored equal to the clean image though it had a budget",
        "see zero_gradient; square needs no gradients",
    ),
    "misclassified": Flag(
        "wrong before the attack, and so skipped",
        "none is needed: such rows do not count as attacked; misclassified: attack moves them too",
    ),
    "target_is_label": Flag(
        "the target is the row's own label, and so skipped",
        "none is needed: such rows do not count as attacked; target: next or random never gives the label",
    ),
    "unmeasured": Flag(
        "a generator made the row that no model has judged, as the recipe's admit: unmeasured says",
        "a model in the job, and admit with the least figures for its generator's rows",
    ),
    "cut_back": Flag(
        "the image that another library gave lay out of the budget or of [0, 1], and was brought back",
        "a norm and eps of the recipe that are those of the library's attack",
    ),
    "lost_in_storing": Flag(
        "the image that another library gave fooled the model, and rounded to 8 bits within the budget it does not",
        "more steps, so that rows lie deeper; an attack of hardset, which searches on the 8-bit grid",
    ),
    "shard_bound": Flag(
        "another library made the row, which depends on the others of its shard",
        "none is needed: replay and verify make the shard again; another shard_rows or batch gives others",
    ),
}
"""Flags in the order in which a row lists them."""


def flags_column(masks: Mapping[str, NDArray[np.bool_]]) -> list[str]:
    """Values (N,) of the `flags` column from one boolean mask (N,) per flag. Raises KeyError for an unknown flag."""
    unknown = sorted(set(masks) - set(FLAGS))
    if unknown:
        raise KeyError(f"no such flags: {', '.join(unknown)}")
    raised = [(name, masks[name].tolist()) for name in FLAGS if name in masks]
    count = len(raised[0][1]) if raised else 0
    return [SEPARATOR.join(name for name, mask in raised if mask[i]) for i in range(count)]


def flags_of(text: str | None) -> tuple[str, ...]:
    """Names of the flags in one value of the column, in its order."""
    return tuple(text.split(SEPARATOR)) if text else ()


def with_flag(column: Sequence[str], name: str, mask: NDArray[np.bool_]) -> list[str]:
    """Values (N,) of the column with `name` added where the mask (N,) is true, in the order of `FLAGS`."""
    order = list(FLAGS)
    return [
        SEPARATOR.join(sorted({*flags_of(text), name}, key=order.index)) if raised else text
        for text, raised in zip(column, mask.tolist(), strict=True)
    ]
