"""Further sections of an evaluation's report: the table of all, and transfer, margins and diversity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hardset.pipeline.reporting.charts import Series, histogram, legend
from hardset.pipeline.reporting.evaluation_classes import classes
from hardset.pipeline.reporting.evaluation_content import Build, EvaluationContent, at_threat
from hardset.pipeline.reporting.evaluation_examples import examples
from hardset.pipeline.reporting.evaluation_natural import natural
from hardset.pipeline.reporting.heat import heat_map
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, table
from hardset.pipeline.reporting.wording import NONE, percent
from hardset.pipeline.statistics.histogram import Histogram
from hardset.schemas.records.evaluation import Bin, Evaluation, ModelFigures


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
