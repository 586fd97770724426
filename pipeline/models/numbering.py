"""Classes that are numbered in another order by the model than by the source: rolled, counted from 1, or permuted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hardset.pipeline.judging.judge import Classes, Floats, Mask
from hardset.pipeline.models.finding import Finding, remedy, sentence

_CHANCE = 1e-3
"""Largest probability of the gain by chance (one-sided sign test over the rows that changed sides)."""
GAIN = 0.03
"""Smallest gain of accuracy that is told of."""
_PLAUSIBLE, _PLAUSIBLE_OF_MANY, _MANY = 0.4, 0.2, 100
"""Least accuracy of a model in use, and that of one with so many classes: below it nothing is explained."""
_ROWS_A_CLASS = 3
"""Least rows of a class from which its output can be told."""


def gains(before: Mask, after: Mask, classes: int) -> bool:
    """Whether more rows turn right than wrong, by more than chance explains, and so many that the model is of use."""
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    enough = after.mean() >= (_PLAUSIBLE if classes < _MANY else _PLAUSIBLE_OF_MANY)
    return bool(enough) and (won - lost) / len(before) >= GAIN and _tail(won, won + lost) < _CHANCE


def _tail(won: int, of: int) -> float:
    """Probability that a fair coin shows `won` heads or more in `of` throws."""
    return float(sum(math.comb(of, k) for k in range(won, of + 1)) / 2**of)


def numbering(logits: Floats, labels: Classes, declared: Sequence[int] | None, at: str) -> Finding | None:
    """The finding that classes are numbered in another order; None where that explains nothing.

    `declared`: the job's own output_order. An order is derived from every other row and held against the rest.
    """
    classes, pred = logits.shape[1], logits.argmax(axis=1)
    right, numbers = pred == labels, np.arange(classes)
    least = logits.argmin(axis=1) == labels
    if classes > 2 and gains(right, least, classes):
        what = "its smallest output named the class, as distances and losses do"
        mended = f"write a factory for {at} whose module returns the negative of them"
        return Finding(sentence(at, right, least, what, mended), {})
    shift = int(np.bincount((pred - labels) % classes, minlength=classes).argmax())
    rolled = (numbers + shift) % classes
    half = np.arange(len(labels)) % 2 == 0
    found = _order(pred[half], labels[half], classes)
    if found is not None and not gains(right[~half], (found[labels] == pred)[~half], classes):
        found = None
    if found is not None:
        whole = _order(pred, labels, classes)
        found = found if whole is None else whole
    hits = (rolled[labels] == pred).sum()
    if (
        shift
        and gains(right, rolled[labels] == pred, classes)
        and (found is None or hits >= (found[labels] == pred).sum())
    ):
        step = f"+ {shift}" if shift <= classes // 2 else f"- {classes - shift}"
        what = f"its outputs were the classes {step}"
        settings = {"output_order": _order_over(rolled, declared)}
        mended = remedy(at, settings)
        if shift == classes - 1:
            mended = f"labels that count from 1 look so: let them count from 0; where the model is rolled, {mended}"
            settings = {}  # only the user knows which of the two it is
        return Finding(sentence(at, right, rolled[labels] == pred, what, mended), settings)
    if found is None or np.array_equal(found, numbers):
        return None
    what = "its outputs stood in another order than the source's classes"
    settings = {"output_order": _order_over(found, declared)}
    return Finding(sentence(at, right, found[labels] == pred, what, remedy(at, settings)), settings)


def _order_over(order: Classes, declared: Sequence[int] | None) -> list[int]:
    """The order as the job has to have it, over the one that it has."""
    return [int(number) if declared is None else declared[int(number)] for number in order]


def _order(pred: Classes, labels: Classes, classes: int) -> Classes | None:
    """Output of each class: the most frequent prediction of its rows; None where two classes would share one.

    Classes with too few rows get the outputs that are left, their own where it is.
    """
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, pred), 1)
    known = table.sum(axis=1) >= _ROWS_A_CLASS
    taken = table.argmax(axis=1)[known].tolist()
    if len(set(taken)) < len(taken) or len(taken) < 2:
        return None
    order = np.where(known, table.argmax(axis=1), -1)
    for label in np.flatnonzero(~known).tolist():
        if label not in taken:
            order[label] = label
    free = iter(sorted(set(range(classes)) - set(order.tolist())))
    return np.array([next(free) if output < 0 else output for output in order.tolist()], np.int64)
