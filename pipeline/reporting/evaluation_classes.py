"""Classes of an evaluation: precision, recall and F1 before and after, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.heat import counted_cells, heat_map
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import Cell as TableCell
from hardset.pipeline.reporting.tables import Figure, TableColumn, table
from hardset.pipeline.reporting.wording import clipped, percent
from hardset.schemas.records.evaluation import Cell, Evaluation, ModelFigures

MOST_CLASSES = 20
"""Maximum number of classes for a confusion matrix; with more, the most frequent confusions are listed."""
MOST_ROWS = 3_000
"""Maximum number of lines of all models' tables of classes together."""
_MOST_CONFUSIONS = 20


def classes(content: EvaluationContent) -> Markup:
    """Precision, recall and F1 before and after, and confusions."""
    parts: list[Child] = []
    for model in content.record.models:
        parts += [element("h3", model.name), _per_class(content.record, model), _confusions(content.record, model)]
    text = (
        "After: after the first attack of the first threat that breaks a row. Precision, recall and F1 by "
        "scikit-learn. The class with the lowest recall after comes first; press a heading to sort by it."
    )
    return join(element("p", text, class_="soft"), parts)


def _per_class(record: Evaluation, model: ModelFigures) -> Markup:
    columns = [TableColumn("Class"), TableColumn("Rows", figures=True)]
    columns += [
        TableColumn(f"{name}, {when}", figures=True)
        for name in ("Precision", "Recall", "F1")
        for when in ("before", "after")
    ]
    most = MOST_ROWS // len(record.models)
    rows: list[list[TableCell]] = []
    for one in sorted(model.classes, key=lambda one: (one.attacked_recall, one.label))[:most]:
        figures = (one.clean_precision, one.attacked_precision, one.clean_recall, one.attacked_recall)
        shown = [Figure(percent(value), value) for value in (*figures, one.clean_f1, one.attacked_f1)]
        rows.append([clipped(record.classes[one.label], 40), Figure(f"{one.support:,}", one.support), *shown])
    few = "" if len(model.classes) <= most else f", the {most:,} with the lowest recall after"
    return table(f"{model.name}: classes, the weakest first{few}", columns, rows, sortable=True, folds=True)


def _confusions(record: Evaluation, model: ModelFigures) -> Markup:
    before, after = model.confusion_clean, model.confusion_attacked
    if len(record.classes) <= MOST_CLASSES:
        drawn: Child = join(
            _matrix(f"{model.name}: labels by prediction, before", record, before),
            _matrix(f"{model.name}: labels by prediction, after", record, after),
        )
    else:
        drawn = _flows(f"{model.name}: most frequent confusions, after", record, after)
    return element("details", element("summary", f"{model.name}: confusions"), drawn)


def _matrix(caption: str, record: Evaluation, cells: Sequence[Cell]) -> Markup:
    counts = {(cell.label, cell.pred): cell.rows for cell in cells}
    lost = any(cell.pred < 0 for cell in cells)
    preds = [*range(len(record.classes)), *([-1] if lost else [])]
    names = [clipped(record.classes[pred], 12) if pred >= 0 else "none" for pred in preds]
    rows = []
    for label, name in enumerate(record.classes):
        rows.append((clipped(name, 20), counted_cells([counts.get((label, pred), 0) for pred in preds])))
    return heat_map(caption, "Label", names, rows, diagonal=True)


def _flows(caption: str, record: Evaluation, cells: Sequence[Cell]) -> Markup:
    wrong = sorted((cell for cell in cells if cell.label != cell.pred), key=lambda cell: -cell.rows)
    rows: list[list[Child]] = [
        [
            clipped(record.classes[cell.label], 40),
            clipped(record.classes[cell.pred], 40) if cell.pred >= 0 else "no verdict",
            f"{cell.rows:,}",
        ]
        for cell in wrong[:_MOST_CONFUSIONS]
    ]
    return table(caption, (TableColumn("Label"), TableColumn("Prediction"), TableColumn("Rows", figures=True)), rows)
