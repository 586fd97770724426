"""Figures of one model from its verdicts: pure functions from arrays to parts of the record."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.attacks.declared import declaration_of
from hardset.pipeline.evaluation.conditions import SHIFT
from hardset.pipeline.evaluation.gathered import AttackVerdicts, ModelVerdicts
from hardset.pipeline.judging.judge import Classes, Floats, Mask
from hardset.pipeline.statistics.histogram import Histogram
from hardset.pipeline.statistics.shares import missing, share, share_of
from hardset.schemas.job.evaluation import Threat
from hardset.schemas.job.operations.corruptions import CORRUPTIONS
from hardset.schemas.records.evaluation import (
    Agreement,
    AttackFigures,
    Bin,
    Cell,
    ClassFigures,
    Condition,
    CurvePoint,
    Margins,
    Point,
    ThreatFigures,
)
from hardset.schemas.rows.flags import FLAGS, flags_of


def attack_figures(found: ModelVerdicts, attacked: AttackVerdicts) -> AttackFigures:
    """Figures of the model under one attack."""
    robust, float_robust = found.robust(attacked), found.right & (attacked.float_pred == found.labels)
    flags = [flags_of(text) for text in attacked.flags[attacked.threat][found.right]]
    declared = declaration_of(attacked.attack.name)
    return AttackFigures(
        label=attacked.label,
        attack=attacked.attack.model_dump(mode="json"),
        points=tuple(
            Point(
                eps=eps,
                robust=share_of(robust[level]),
                float_robust=share_of(float_robust[level]),
                gradients=int(attacked.gradients[level].sum(dtype=np.int64)),
                queries=int(attacked.queries[level].sum(dtype=np.int64)),
            )
            for level, eps in enumerate(attacked.eps)
        ),
        seconds=round(attacked.seconds, 3),
        flags={name: rows for name in FLAGS if (rows := sum(name in one for one in flags))},
        gradient=declared.gradient and not declared.parts,
    )


def threat_figures(found: ModelVerdicts, threat: Threat) -> ThreatFigures:
    """Row-wise worst case over a threat's attacks. A row broken at one budget is broken at every larger one."""
    mine = [attacked for attacked in found.attacks if attacked.norm == threat.norm]
    values = sorted({Fraction(eps) for attacked in mine for eps in attacked.eps if Fraction(eps) > 0})
    curve = [CurvePoint(eps="0", robust=share_of(found.right))]
    curve += [CurvePoint(eps=str(eps), robust=share_of(withstands(found, mine, eps))) for eps in values]
    return ThreatFigures(
        norm=threat.norm, eps=str(threat.eps), robust=share_of(withstands(found, mine, threat.eps)), curve=tuple(curve)
    )


def withstands(found: ModelVerdicts, attacks: Sequence[AttackVerdicts], most: Fraction) -> Mask:
    """Mask (N,) of rows classified correctly before, and after each attack at every budget up to `most`."""
    standing = found.right.copy()
    for attacked in attacks:
        for robust, eps in zip(found.robust(attacked), attacked.eps, strict=True):
            if Fraction(eps) <= most:
                standing &= robust
    return standing


def attacked_pred(found: ModelVerdicts, attacks: Sequence[AttackVerdicts]) -> Classes:
    """Predictions (N,) after the first attack that breaks a row at the threat's budget; clean ones for other rows."""
    pred = found.pred.copy()
    for attacked in reversed(attacks):
        broken = found.right & ~found.robust(attacked)[attacked.threat]
        pred[broken] = attacked.pred[attacked.threat][broken]
    return pred


def class_figures(labels: Classes, clean: Classes, attacked: Classes, classes: int) -> tuple[ClassFigures, ...]:
    """Precision, recall and F1 of every class by scikit-learn; 0 where the denominator is 0."""
    before, after = (_per_class(labels, pred, classes) for pred in (clean, attacked))
    return tuple(
        ClassFigures(
            label=label,
            support=int(before[3][label]),
            clean_precision=float(before[0][label]),
            clean_recall=float(before[1][label]),
            clean_f1=float(before[2][label]),
            attacked_precision=float(after[0][label]),
            attacked_recall=float(after[1][label]),
            attacked_f1=float(after[2][label]),
        )
        for label in range(classes)
    )


def _per_class(labels: Classes, pred: Classes, classes: int) -> Any:
    return _metrics().precision_recall_fscore_support(labels, pred, labels=list(range(classes)), zero_division=0)


def confusion(labels: Classes, pred: Classes, classes: int) -> tuple[Cell, ...]:
    """Number of rows by label and prediction (-1: no verdict); cells without rows are left out."""
    counts = _metrics().confusion_matrix(labels, pred, labels=[*range(classes), -1])
    return tuple(
        Cell(label=int(label), pred=int(column) if column < classes else -1, rows=int(counts[label, column]))
        for label, column in zip(*np.nonzero(counts), strict=True)
    )


def _metrics() -> Any:
    try:
        from sklearn import metrics  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing("scikit-learn") from None
    return metrics


def condition_figures(found: ModelVerdicts) -> tuple[Condition, ...]:
    """Accuracy under every natural change."""
    return tuple(
        Condition(name=name, level=level, right=share_of(pred == found.labels))
        for (name, level), pred in found.conditions.items()
    )


def condition_means(conditions: Sequence[Condition]) -> dict[str, float]:
    """Mean accuracy over all corruptions and severities (`corruptions`), and under the smallest shift (`shift`)."""
    corruptions = [one.right.value for one in conditions if one.name in CORRUPTIONS]
    shifts = sorted((one.level, one.right.value) for one in conditions if one.name == SHIFT)
    means = {"corruptions": sum(corruptions) / len(corruptions)} if corruptions else {}
    return means | ({"shift": shifts[0][1]} if shifts else {})


def margin_figures(found: ModelVerdicts, attacks: Sequence[AttackVerdicts]) -> Margins:
    """Histograms of the clean margins, and of the smallest margins under any attack at the threat's budget."""
    smallest: Floats = np.fmin.reduce([attacked.margin[attacked.threat] for attacked in attacks])
    clean, after = Histogram().add(found.margin), Histogram().add(smallest)
    exponent = max(one.exponent for one in (clean, after) if len(one)) if len(clean) or len(after) else 0
    clean, after = clean.coarsened(exponent), after.coarsened(exponent)
    return Margins(width=2.0**exponent, clean=_bins(clean), attacked=_bins(after))


def _bins(values: Histogram) -> tuple[Bin, ...]:
    return tuple(Bin(start=number * values.width, rows=rows) for number, rows in sorted(values.bins.items()))


def agreement(found: ModelVerdicts) -> tuple[Agreement, ...]:
    """Agreement of each pair of a threat's attacks on the rows that they break at its budget."""
    broken = [found.right & ~found.robust(attacked)[attacked.threat] for attacked in found.attacks]
    pairs = [
        (i, j)
        for i, first in enumerate(found.attacks)
        for j, second in enumerate(found.attacks)
        if i < j and first.norm == second.norm
    ]
    return tuple(
        Agreement(
            first=found.attacks[i].label,
            second=found.attacks[j].label,
            both=int((broken[i] & broken[j]).sum()),
            only_first=int((broken[i] & ~broken[j]).sum()),
            only_second=int((broken[j] & ~broken[i]).sum()),
            jaccard=jaccard(broken[i], broken[j]),
        )
        for i, j in pairs
    )


def jaccard(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Jaccard index: rows in both masks divided by rows in either; None if there are none."""
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else None


def transferred(source: ModelVerdicts, target: ModelVerdicts, attack: int, pred: Classes) -> Any:
    """Share of rows made on `source` that `target` classifies correctly before and after; `pred`: its predictions."""
    return share(int((target.right & (pred == target.labels)).sum()), len(source.labels))
