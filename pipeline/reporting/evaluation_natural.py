"""Accuracy of an evaluation under changes that no adversary chose: corruptions by severity, and shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardset.pipeline.reporting.curves import Curve, curves, legend
from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.evaluation_curves import value_of
from hardset.pipeline.reporting.heat import heat_map
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import Cell, Figure, TableColumn, table
from hardset.pipeline.reporting.wording import counted, percent
from hardset.schemas.job.operations.corruptions import CORRUPTIONS
from hardset.schemas.records.evaluation import Condition, Evaluation, Share

SHIFT = "shift"
_CLEAN = 0
"""Severity of rows that are not corrupted."""


def natural(content: EvaluationContent) -> Markup | None:
    """Lines of accuracy by severity, a table of their means, and accuracy under shifts; None without conditions."""
    record = content.record
    if not record.models[0].conditions:
        return None
    corruptions = _by_name(record, [one for one in record.models[0].conditions if one.name in CORRUPTIONS])
    text = (
        "Natural changes. Corruptions are not chosen by an adversary, and severity 0 is the clean image; of shifts the "
        "worst both ways counts, of drawn changes the draw that the model errs on most."
    )
    return join(element("p", text, class_="soft"), _corruptions(record, corruptions), _worst_cases(record))


def _by_name(record: Evaluation, conditions: Sequence[Condition]) -> dict[str, dict[int, list[Share]]]:
    """Shares of every model by severity, by corruption."""
    found: dict[str, dict[int, list[Share]]] = {}
    for one in conditions:
        number = record.models[0].conditions.index(one)
        shares = [model.conditions[number].right for model in record.models]
        found.setdefault(one.name, {_CLEAN: [model.clean for model in record.models]})[one.level] = shares
    return found


def _corruptions(record: Evaluation, found: Mapping[str, Mapping[int, list[Share]]]) -> Markup | None:
    if not found:
        return None
    names = [model.name for model in record.models]
    charts, shown = [], list[Curve]()
    for name, levels in _worst_first(found):
        severities = sorted(levels)
        shown = [
            Curve(model, tuple(value_of(levels[level][at]) for level in severities), joined=len(severities) > 2)
            for at, model in enumerate(names)
        ]
        places = [str(level) for level in severities]
        charts.append(curves(_words(name), places, shown, "severity", small=True, keyed=False))
    return join(
        element("h3", "Corruptions"),
        legend(shown) if len(names) > 1 else None,
        element("div", charts, class_="charts small"),
        _means(names, found),
    )


def _worst_first(found: Mapping[str, Mapping[int, list[Share]]]) -> list[tuple[str, Mapping[int, list[Share]]]]:
    return sorted(
        found.items(), key=lambda item: (min(_mean(item[1], at) for at in range(len(item[1][_CLEAN]))), item[0])
    )


def _mean(levels: Mapping[int, list[Share]], model: int) -> float:
    """Mean accuracy over the severities above 0."""
    values = [shares[model].value for level, shares in levels.items() if level != _CLEAN]
    return sum(values) / len(values)


def _means(names: Sequence[str], found: Mapping[str, Mapping[int, list[Share]]]) -> Markup:
    rows: list[list[Cell]] = [
        [_words(name), *(Figure(percent(_mean(levels, at)), _mean(levels, at)) for at in range(len(names)))]
        for name, levels in _worst_first(found)
    ]
    overall = [sum(_mean(levels, at) for levels in found.values()) / len(found) for at in range(len(names))]
    if len(rows) > 1:
        rows.insert(0, ["All corruptions", *(Figure(percent(value), value) for value in overall)])
    columns = (TableColumn("Corruption"), *(TableColumn(name, figures=True) for name in names))
    return table("Mean accuracy over the severities", columns, rows, sortable=True, folds=True)


def _worst_cases(record: Evaluation) -> Markup | None:
    """Accuracy under shifts and under the worst of several draws."""
    rows = []
    for number, one in enumerate(record.models[0].conditions):
        if one.name not in CORRUPTIONS:
            shares = [model.conditions[number].right for model in record.models]
            cells: list[tuple[Child, float | None]] = [(percent(share.value), share.value) for share in shares]
            rows.append((f"{_words(one.name)}, {_level(one)}", cells))
    if not rows:
        return None
    names = [model.name for model in record.models]
    heading = element("h3", "Worst cases")
    return join(heading, heat_map("Accuracy under shifts and drawn changes", "Change", names, rows))


def _level(condition: Condition) -> str:
    return f"by up to {condition.level} px" if condition.name == SHIFT else counted(condition.level, "draw")


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
