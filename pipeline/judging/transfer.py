"""Transfer of attacks: verdicts on the stored images by held-out models, which the attack never saw."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.judging.judge import Classes, Floats, Judge, Mask, verdict
from hardset.pipeline.judging.transfer_counts import COUNTED, FOOLED
from hardset.schemas.digests import canonical_json
from hardset.schemas.rows.success import succeeded


@dataclass(frozen=True)
class Seen:
    """Logits (N, classes) of one held-out model on N rows."""

    before: Floats
    """Logits of the clean rows."""
    after: Floats
    """Logits of the stored rows."""


@dataclass(frozen=True)
class HeldOutVerdicts:
    """Verdicts of held-out models on N rows."""

    seen: Mapping[str, Seen]
    """Logits by model name."""
    labels: Classes
    targets: Classes | None
    """Target classes (N,) of a targeted attack; None if untargeted."""

    def pred(self, name: str) -> Classes:
        """Predictions (N,) on the stored rows; -1 where a logit is not finite."""
        return verdict(self.seen[name].after, self.labels).pred

    def fooled(self, name: str) -> Mask:
        """Mask (N,) of rows that fool a model: correct when clean and wrong as stored, or predicted as the target."""
        return succeeded(self._clean_pred(name), self.pred(name), self.labels, self.targets)

    def counted(self, name: str) -> Mask:
        """Mask (N,) of rows over which fooling is counted: correct when clean; if targeted, any row with a verdict."""
        right: Mask = self._clean_pred(name) == self.labels
        return right if self.targets is None else self.pred(name) >= 0

    def _clean_pred(self, name: str) -> Classes:
        return verdict(self.seen[name].before, self.labels).pred

    def columns(self) -> dict[str, Any]:
        """Columns `transfer_pred` and `transferred`; none without held-out models."""
        if not self.seen:
            return {}
        preds = {name: self.pred(name).tolist() for name in self.seen}
        texts = [
            canonical_json({name: pred[i] if pred[i] >= 0 else None for name, pred in preds.items()})
            for i in range(len(self.labels))
        ]
        total = np.sum([self.fooled(name) for name in self.seen], axis=0, dtype=np.int32)
        return {"transfer_pred": texts, "transferred": total}

    def signals(self, attacked: Mask) -> dict[str, int]:
        """Entries of `Counts.signals`: numbers of `attacked` rows (N,) counted and fooled, by model."""
        found: dict[str, int] = {}
        for name in self.seen:
            counted = self.counted(name) & attacked
            found[f"{COUNTED}:{name}"] = int(counted.sum())
            found[f"{FOOLED}:{name}"] = int((self.fooled(name) & counted).sum())
        return {key: rows for key, rows in sorted(found.items()) if rows}


def transfer_of(
    judges: Mapping[str, Judge],
    stored: Pixels,
    clean: Pixels,
    *,
    parents: NDArray[np.int64],
    labels: Classes,
    targets: Classes | None,
) -> HeldOutVerdicts:
    """Runs every held-out model on N stored rows, uint8 (N, H, W, C), and on the `clean` rows they were made from.

    `parents` (N,): index of each stored row's clean row; `labels`, `targets` (N,): classes of the stored rows.
    """
    if not len(stored):
        return HeldOutVerdicts({}, labels, targets)
    seen = {name: Seen(judge.logits(clean)[parents], judge.logits(stored)) for name, judge in judges.items()}
    return HeldOutVerdicts(seen, labels, targets)


def transfer_faults(
    found: HeldOutVerdicts, rows: Sequence[Mapping[str, Any]], tolerance: float
) -> Iterator[tuple[int, str]]:
    """Disagreements between the columns of `rows` (N) and the new verdicts: row position and sentence.

    `tolerance`: accepted difference of logits between devices, relative to the largest logit or to 1; predictions that
    close are not reported.
    """
    told = [_told(row.get("transfer_pred")) for row in rows]
    named = [preds is not None and preds.keys() == found.seen.keys() for preds in told]
    sure, unsure = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for name, seen in found.seen.items():
        pred = np.asarray([_class(preds, name, seen.after.shape[1]) for preds in told], np.int64)
        for i in map(int, np.flatnonzero(~_agrees(seen.after, pred, tolerance) & named)):
            again, stored = (f"class {c}" if c >= 0 else "none" for c in (int(found.pred(name)[i]), int(pred[i])))
            yield i, f"held-out model {name} predicts {again} when judged again, {stored} as stored"
        fooled = succeeded(found.labels, pred, found.labels, found.targets)
        close = np.zeros(len(rows), bool)
        if found.targets is None:
            close = fooled & _close(seen.before, found.labels, tolerance)
            fooled &= found.counted(name)
        sure += fooled & ~close
        unsure += close
    for i, row in enumerate(rows):
        if not named[i] and (found.seen or row.get("transfer_pred") is not None):
            yield i, f"transfer_pred does not name the held-out models: {', '.join(sorted(found.seen)) or 'none'}"
        elif found.seen and not _between(row.get("transferred"), sure[i], sure[i] + unsure[i]):
            yield i, f"transferred is {sure[i]} when counted again, {row.get('transferred')} as stored"


def _between(number: int | None, low: int, high: int) -> bool:
    return number is not None and low <= number <= high


def _told(text: str | None) -> dict[str, Any] | None:
    try:
        preds = json.loads(text or "")
    except ValueError:
        return None
    return preds if isinstance(preds, dict) else None


def _class(preds: dict[str, Any] | None, name: str, classes: int) -> int:
    pred = (preds or {}).get(name)
    return pred if isinstance(pred, int) and 0 <= pred < classes else -1


def _agrees(logits: Floats, pred: Classes, tolerance: float) -> Mask:
    """Mask (N,) of rows whose `pred` (-1: no verdict) has the largest logit within the tolerance."""
    short = verdict(logits, np.maximum(pred, 0)).margin
    return np.where(pred < 0, np.isnan(short), short >= -_slack(logits, tolerance))


def _close(logits: Floats, labels: Classes, tolerance: float) -> Mask:
    """Mask (N,) of rows whose margin is within the tolerance of 0, so that rounding may decide the prediction."""
    close: Mask = np.abs(verdict(logits, labels).margin) <= _slack(logits, tolerance)
    return close


def _slack(logits: Floats, tolerance: float) -> Floats:
    slack: Floats = tolerance * np.maximum(1, np.abs(logits).max(axis=1))
    return slack
