"""Accuracy of an evaluation against the budget: the worst case of each model, and every attack by itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hardset.pipeline.reporting.curves import Curve, Value, curves
from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.heat import heat_map
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.wording import NONE, amount, number, percent
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.records.evaluation import Evaluation, ModelFigures, Share, ThreatFigures

WORST = "Worst of them, row by row"


def value_of(share: Share) -> Value:
    """A share as a value of a curve."""
    return Value(share.value, share.low, share.high)


def accuracy_curves(content: EvaluationContent) -> Markup:
    """For each threat, a chart that compares the models, then each model's attacks with a table of attack by budget."""
    record, parts = content.record, list[Child]()
    for position, threat in enumerate(record.models[0].threats):
        norm = STORED_NORMS[threat.norm]
        charts, tables = [], []
        if len(record.models) > 1:
            charts.append(_models(record, position))
        for model in record.models:
            places = _places([point.eps for point in model.threats[position].curve], model, position)
            shown = _attacks(model, position, places)
            named = _named(places, threat)
            charts.append(_chart(f"{model.name}, {norm}", places, threat, shown, "each attack by itself"))
            tables.append(_by_budget(f"{model.name}: robust accuracy by attack and eps, {norm}", named, shown))
        parts += [element("h3", norm), element("div", charts, class_="charts two"), *tables]
    text = (
        "From 0, which is clean accuracy, to a budget at which accuracy must vanish. Budgets are evenly spaced on the "
        "axis; bands are 95 % intervals. A single budget is a point, not a line."
    )
    return join(element("p", text, class_="soft"), parts)


def _models(record: Evaluation, position: int) -> Markup:
    """Chart of the worst case of every model under one threat."""
    threat = record.models[0].threats[position]
    places = sorted({p.eps for m in record.models for p in m.threats[position].curve}, key=Fraction)
    shown = [_worst(model, position, places, model.name) for model in record.models]
    title = f"All models, {STORED_NORMS[threat.norm]}"
    return _chart(title, places, threat, shown, "worst of the attacks, row by row")


def _chart(title: str, places: Sequence[str], threat: ThreatFigures, shown: Sequence[Curve], subtitle: str) -> Markup:
    """Chart over budgets; those of Linf are named on the axis by their 8-bit levels."""
    named = _named(places, threat)
    if threat.norm != "linf":
        return curves(title, named, shown, "eps", subtitle=subtitle)
    levels = [number(float(255 * Fraction(place))) for place in places]
    return curves(title, named, shown, "eps, in 8-bit levels", subtitle=subtitle, ticks=levels)


def _places(worst: Sequence[str], model: ModelFigures, position: int) -> list[str]:
    norm = model.threats[position].norm
    own = {point.eps for attack in model.attacks if attack.attack["norm"] == norm for point in attack.points}
    return sorted({*worst, *own}, key=Fraction)


def _named(places: Sequence[str], threat: ThreatFigures) -> list[str]:
    return ["0" if Fraction(place) == 0 else amount(place, threat.norm) for place in places]


def _attacks(model: ModelFigures, position: int, places: Sequence[str]) -> list[Curve]:
    """A curve for each attack of the threat, from clean accuracy on, and the worst of them where there are several."""
    threat = model.threats[position]
    found = []
    for attack in model.attacks:
        if attack.attack["norm"] == threat.norm:
            values = {"0": value_of(model.clean)} | {point.eps: value_of(point.robust) for point in attack.points}
            found.append(_curve(attack.label, values, places))
    return [*found, _worst(model, position, places, WORST, main=True)] if len(found) > 1 else found


def _worst(model: ModelFigures, position: int, places: Sequence[str], name: str, *, main: bool = False) -> Curve:
    values = {point.eps: value_of(point.robust) for point in model.threats[position].curve}
    return _curve(name, values, places, main=main)


def _curve(name: str, values: dict[str, Value], places: Sequence[str], *, main: bool = False) -> Curve:
    budgets = [eps for eps in values if Fraction(eps) > 0]
    return Curve(name, tuple(values.get(place) for place in places), joined=len(budgets) > 1, main=main)


def _by_budget(caption: str, places: Sequence[str], shown: Sequence[Curve]) -> Markup:
    rows = []
    for curve in shown:
        cells: list[tuple[Child, float | None]] = [
            (NONE, None) if value is None else (percent(value.value), value.value) for value in curve.values
        ]
        rows.append((curve.name, cells))
    return heat_map(caption, "Attack", [f"eps {place}" for place in places], rows)
