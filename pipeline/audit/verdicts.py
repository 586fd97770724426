"""Stored verdicts and distances held against what judge, held-out models and pixels say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.judging.judge import Judge, Verdict, distances, pixels_changed, verdict, within_budget
from hardset.pipeline.judging.transfer import transfer_faults, transfer_of
from hardset.schemas.norms import NO_NORM, norm_of
from hardset.schemas.rows.success import succeeded

TOLERANCE = 1e-3
"""Accepted difference of margins, absolute or relative, between devices and thread counts; a verdict that close to zero
is not called false."""

Fault = tuple[int, str]


@dataclass(frozen=True)
class Judged:
    """N rows of one shard with the judge's logits."""

    rows: Sequence[Mapping[str, Any]]
    stored: NDArray[np.uint8]
    """Pixels (N, H, W, C) as stored."""
    logits: NDArray[np.float32]
    """(N, K) of the stored pixels."""
    clean: NDArray[np.uint8] | None = None
    """Pixels of the clean rows; None where they are not at hand."""
    clean_logits: NDArray[np.float32] | None = None

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,)."""
        return np.asarray([row["label"] for row in self.rows], np.int64)

    @cached_property
    def targets(self) -> NDArray[np.int64] | None:
        """(N,); None where the attack aims at no class."""
        values = [row["target_label"] for row in self.rows]
        return None if None in values else np.asarray(values, np.int64)

    @cached_property
    def after(self) -> Verdict:
        """Verdict on the stored pixels."""
        return verdict(self.logits, self.labels)


def stored_faults(judged: Judged) -> Iterator[Fault]:
    """False `pred`, `margin` and `confidence`: row position and sentence."""
    after = judged.after
    yield from _false_numbers(judged, {"margin": after.margin, "confidence": after.confidence})
    yield from _false_classes(judged, "pred", judged.logits)


def attack_faults(judged: Judged, held_out: Mapping[str, Judge]) -> Iterator[Fault]:
    """False verdicts on clean pixels, false `success`, targets and verdicts of held-out models."""
    assert judged.clean is not None
    assert judged.clean_logits is not None
    before = verdict(judged.clean_logits, judged.labels)
    yield from _false_numbers(judged, {"clean_margin": before.margin})
    yield from _false_classes(judged, "clean_pred", judged.clean_logits)
    success = succeeded(before.pred, judged.after.pred, judged.labels, judged.targets)
    sure = (np.abs(judged.after.margin) > TOLERANCE) & (np.abs(before.margin) > TOLERANCE)
    for i, row in enumerate(judged.rows):
        if success[i] != row["success"] and sure[i]:
            yield i, _told("success", bool(success[i]), row["success"])
    every = np.arange(len(judged.rows))
    found = transfer_of(
        held_out, judged.stored, judged.clean, parents=every, labels=judged.labels, targets=judged.targets
    )
    yield from transfer_faults(found, judged.rows, TOLERANCE)


def distance_faults(judged: Judged) -> Iterator[Fault]:
    """Rows outside their budget, and false distances."""
    assert judged.clean is not None
    rows = judged.rows
    levels, l2, l1 = distances(judged.stored, judged.clean)
    pixels = pixels_changed(judged.stored, judged.clean)
    inside = _inside(judged)
    for i, row in enumerate(rows):
        if not inside[i]:
            told = f"{levels[i]} levels, L2 {l2[i]:.4f}, L1 {l1[i]:.4f}, eps {row['eps']:.6g}"
            yield i, f"is outside its budget: {told}"
        norms = ((l2[i], row["l2"]), (l1[i], row.get("l1", l1[i])))  # rows of contract 1.0 have no l1
        if levels[i] != row["linf_levels"] or any(abs(a - b) > 1e-5 * max(1.0, a) for a, b in norms):
            yield i, "its stored distances are not those of its pixels"
        if row.get("l0_pixels") not in (None, pixels[i]):
            yield i, _told("l0_pixels", int(pixels[i]), row["l0_pixels"])


def _inside(judged: Judged) -> NDArray[np.bool_]:
    """Whether each row is within its budget, (N,); always where no norm measures it."""
    assert judged.clean is not None
    norm = judged.rows[0]["norm"]
    if norm == NO_NORM:
        return np.ones(len(judged.rows), bool)
    eps = np.asarray([row["eps"] for row in judged.rows], np.float64)
    return within_budget(judged.stored, judged.clean, norm_of(norm), eps)


def least_likely_faults(judged: Judged) -> Iterator[Fault]:
    """Targets that are not the class of the least logit on the clean pixels, the label aside."""
    assert judged.clean_logits is not None
    logits, every = judged.clean_logits.copy(), np.arange(len(judged.rows))
    logits[every, judged.labels] = np.inf
    least = logits.min(axis=1)
    slack = TOLERANCE * np.maximum(1, np.abs(least))
    targets = judged.labels if judged.targets is None else judged.targets
    for i in map(int, np.flatnonzero(logits[every, targets] > least + slack)):
        yield i, _told("target_label", int(logits[i].argmin()), judged.rows[i]["target_label"])


def _false_numbers(judged: Judged, found: Mapping[str, NDArray[np.float32]]) -> Iterator[Fault]:
    """Columns that differ by more than rounding; older rows, and rows that no model judged, lack some."""
    for name, again in found.items():
        for i, row in enumerate(judged.rows):
            now, then = float(again[i]), row.get(name)
            if then is not None and not abs(now - then) <= TOLERANCE * max(1.0, abs(then)):
                yield i, _told(name, now, then)


def _false_classes(judged: Judged, name: str, logits: NDArray[np.float32]) -> Iterator[Fault]:
    """Predictions that no rounding makes of the logits (N, K)."""
    two = np.sort(logits, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > TOLERANCE * np.maximum(1.0, np.abs(two[:, 1]))
    again = logits.argmax(axis=1)
    for i, row in enumerate(judged.rows):
        if clear[i] and row.get(name) is not None and again[i] != row[name]:
            yield i, _told(name, int(again[i]), row[name])


def _told(name: str, now: object, then: object) -> str:
    return f"{name} is {_shown(now)} when judged again, {_shown(then)} as stored"


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
