"""Further sections of an evaluation's report: transfer, classes, natural changes, margins, diversity, examples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hardset.pipeline.reporting.charts import Series, histogram, legend
from hardset.pipeline.reporting.evaluation_content import Build, EvaluationContent, at_threat
from hardset.pipeline.reporting.evaluation_examples import examples
from hardset.pipeline.reporting.heat import heat_map
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, table
from hardset.pipeline.reporting.wording import NONE, clipped, percent
from hardset.pipeline.statistics.histogram import Histogram
from hardset.schemas.job.operations.corruptions import CORRUPTIONS
from hardset.schemas.records.evaluation import Bin, Cell, Condition, Evaluation, ModelFigures

MOST_CLASSES = 20
"""Maximum number of classes for a confusion matrix; with more, the most frequent confusions are listed."""
_MOST_CONFUSIONS = 20


def transfer(content: EvaluationContent) -> Markup | None:
    """Accuracy of each model on rows made on another model."""
    record = content.record
    if len(record.models) < 2:
        return None
    right = {(cell.source, cell.target, cell.attack): cell.right for cell in record.transfer}
    names = [model.name for model in record.models]
    maps = []
    for number in _strongest_first(record):
        attack, rows = record.models[0].attacks[number], []
        for source in record.models:
            cells: list[tuple[Child, float | None]] = []
            for target in record.models:
                if source is target:
                    share = at_threat(source, source.attacks[number])
                else:
                    share = right[source.name, target.name, attack.label]
                cells.append((percent(share.value), share.value))
            rows.append((source.name, cells))
        caption = f"Accuracy of the columns' models on rows made by {attack.label} on the rows' models"
        maps.append(heat_map(caption, "Made on", names, rows))
    text = "Rows that the judging model gets right before and after. On the diagonal it is the attacked model itself."
    more = element("details", element("summary", "Other attacks"), maps[1:]) if len(maps) > 1 else None
    return join(element("p", text, class_="soft"), maps[0], more)


def _strongest_first(record: Evaluation) -> list[int]:
    """Positions of the attacks: the first threat's first, then by lowest robust accuracy."""
    norm, attacks = record.models[0].threats[0].norm, record.models[0].attacks
    left = [sum(at_threat(model, model.attacks[at]).value for model in record.models) for at in range(len(attacks))]
    return sorted(range(len(attacks)), key=lambda at: (attacks[at].attack["norm"] != norm, left[at]))


def classes(content: EvaluationContent) -> Markup:
    """Precision, recall and F1 before and after, and confusions."""
    parts: list[Child] = []
    for model in content.record.models:
        parts += [element("h3", model.name), _per_class(content.record, model), _confusions(content.record, model)]
    text = (
        "After: after the first attack of the first threat that breaks a row. Precision, recall and F1 by scikit-learn."
    )
    return join(element("p", text, class_="soft"), parts)


def _per_class(record: Evaluation, model: ModelFigures) -> Markup:
    columns = [TableColumn("Class"), TableColumn("Rows", figures=True)]
    columns += [
        TableColumn(f"{name}, {when}", figures=True)
        for name in ("Precision", "Recall", "F1")
        for when in ("before", "after")
    ]
    rows: list[list[Child]] = []
    for one in sorted(model.classes, key=lambda one: (one.attacked_recall, one.label))[:MOST_CLASSES]:
        figures = (one.clean_precision, one.attacked_precision, one.clean_recall, one.attacked_recall)
        shown = [percent(value) for value in (*figures, one.clean_f1, one.attacked_f1)]
        rows.append([clipped(record.classes[one.label], 40), f"{one.support:,}", *shown])
    few = "" if len(model.classes) <= MOST_CLASSES else f", the {MOST_CLASSES} with the lowest recall after"
    return table(f"{model.name}: classes, the weakest first{few}", columns, rows)


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
        of = sum(counts.get((label, pred), 0) for pred in preds)
        line: list[tuple[Child, float | None]] = []
        for pred in preds:
            rows_here = counts.get((label, pred), 0)
            line.append((f"{rows_here:,}" if rows_here else "", rows_here / of if rows_here and of else None))
        rows.append((clipped(name, 20), line))
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


def natural(content: EvaluationContent) -> Markup | None:
    """Accuracy under corruptions and shifts."""
    record = content.record
    conditions = record.models[0].conditions
    if not conditions:
        return None
    rows = []
    for number, one in enumerate(conditions):
        shares = [model.conditions[number].right for model in record.models]
        cells: list[tuple[Child, float | None]] = [(percent(share.value), share.value) for share in shares]
        rows.append((f"{one.name.replace('_', ' ')}, {_level(one)}", cells))
    text = (
        "Natural changes. Corruptions are not chosen by an adversary; of shifts the worst both ways counts, of drawn "
        "changes the draw that the model errs on most."
    )
    names = [model.name for model in record.models]
    return join(
        element("p", text, class_="soft"), heat_map("Accuracy under corruptions and shifts", "Change", names, rows)
    )


def _level(condition: Condition) -> str:
    if condition.name == "shift":
        return f"by up to {condition.level} px"
    return f"severity {condition.level}" if condition.name in CORRUPTIONS else f"{condition.level} draws"


def margins(content: EvaluationContent) -> Markup:
    """Margins of the models before and after."""
    charts = []
    for model in content.record.models:
        exponent = round(math.log2(model.margins.width))
        series = [
            Series("Before", _binned(model.margins.clean, model.margins.width, exponent), "before"),
            Series("After", _binned(model.margins.attacked, model.margins.width, exponent), "after"),
        ]
        charts.append(histogram(model.name, series, "margin, logits", mark=0.0))
    text = (
        "Logit of the label minus the best other logit; after: the smallest under any attack of the first threat. Left "
        "of the dashed line the model errs. Attacks stop at the first error, so misclassified rows lie close to it."
    )
    key = legend([("Before", "before"), ("After", "after")])
    return join(element("p", text, class_="soft"), key, element("div", charts, class_="charts"))


def _binned(bins: Sequence[Bin], width: float, exponent: int) -> Histogram:
    return Histogram(exponent=exponent, bins={round(one.start / width): one.rows for one in bins})


def diversity(content: EvaluationContent) -> Markup:
    """Similarity of the perturbations, and agreement of the attacks on the rows they break."""
    record = content.record
    rows: list[list[Child]] = [
        [
            f"{model.name}, {one.attack}",
            NONE if one.within_class is None else f"{one.within_class:.2f}",
            NONE if one.overall is None else f"{one.overall:.2f}",
            f"{one.rows:,}",
        ]
        for model in record.models
        for one in model.likeness
    ]
    columns = (
        TableColumn("Model and attack"),
        TableColumn("Within a class", figures=True),
        TableColumn("Any two", figures=True),
        TableColumn("Rows moved", figures=True),
    )
    text = (
        "Mean cosine similarity of two perturbations: near 1 the attack changes every image alike, near 0 each image "
        "differently. Agreement: rows that both attacks break, divided by rows that either breaks."
    )
    return join(
        element("p", text, class_="soft"),
        table("Likeness of the perturbations", columns, rows),
        [_agreement(model) for model in record.models if model.agreement],
    )


def _agreement(model: ModelFigures) -> Markup:
    labels = [attack.label for attack in model.attacks]
    found = {(one.first, one.second): one.jaccard for one in model.agreement}
    rows = []
    for first in labels:
        cells: list[tuple[Child, float | None]] = []
        for second in labels:
            value = 1.0 if first == second else found.get((first, second), found.get((second, first)))
            cells.append((NONE if value is None else f"{value:.2f}", value))
        rows.append((first, cells))
    return heat_map(f"{model.name}: agreement of the attacks", "Attack", labels, rows)


DETAILS: tuple[tuple[str, str, Build], ...] = (
    ("transfer", "Transfer", transfer),
    ("rows", "Rows before and after", examples),
    ("natural", "Corruptions and shifts", natural),
    ("classes", "Classes", classes),
    ("margins", "Margins", margins),
    ("diversity", "Diversity", diversity),
)
