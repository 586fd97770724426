"""Curves as inline SVG: values in [0, 1] at named positions with intervals, and the figures in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, detail, table
from hardset.pipeline.reporting.wording import NONE, percent

_WIDTH, _HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 26, 12, 40
_AREA = (_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)
STYLES = 6
"""Number of distinct colours, dashes and marks; further curves reuse them."""
_MARK = 3.2


@dataclass(frozen=True)
class Value:
    """A value with its confidence interval, all in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """One curve; None at places without a value."""

    name: str
    values: tuple[Value | None, ...]
    counts: tuple[str, ...] = ()
    """What each value was counted from, as `12 of 40`; empty where it is not told."""
    joined: bool = True
    """Whether values are joined by a line, which says that what lies between them was measured too."""


def curves(title: str, places: Sequence[str], shown: Sequence[Curve], unit: str, *, subtitle: str = "") -> Markup:
    """Curves over the same evenly spaced `places`, with a legend and a table of figures. `unit`: label of the axis."""
    drawing = join(
        _grid(),
        [_band(curve, number, len(places)) for number, curve in enumerate(shown)],
        [_line(curve, number, len(places)) for number, curve in enumerate(shown)],
        _ticks(places),
        element("text", unit, class_="unit", x=_LEFT + _AREA[0] / 2, y=_HEIGHT - 5, text_anchor="middle"),
    )
    label = f"Curves of {title}{', ' + subtitle if subtitle else ''}; their figures are in the table that follows"
    svg = element("svg", drawing, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)
    return element(
        "figure",
        element("figcaption", detail(title, subtitle)),
        svg,
        _legend(shown) if len(shown) > 1 else None,
        element("details", element("summary", "Figures"), _table(title, places, shown, unit)),
        class_="chart wide-chart",
    )


def interval(value: Value) -> Markup:
    """A value with its interval, as `93.1 % (90.2 to 95.1)`."""
    soft = element("span", f"{100 * value.low:.1f} to {100 * value.high:.1f}", class_="soft")
    return join(percent(value.value), " ", soft)


def _x(place: int, of: int) -> float:
    return _LEFT + (_AREA[0] * place / (of - 1) if of > 1 else _AREA[0] / 2)


def _y(value: float) -> float:
    return _TOP + _AREA[1] * (1 - value)


def _grid() -> list[Markup]:
    lines = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = round(_y(value), 2)
        style = "axis" if value == 0 else "gridline"
        lines.append(element("line", class_=style, x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
        lines.append(element("text", f"{value * 100:.0f} %", x=_LEFT - 5, y=y + 3.5, text_anchor="end"))
    return lines


def _ticks(places: Sequence[str]) -> list[Markup]:
    step = -(-len(places) // 8)
    return [
        element("text", places[at], x=round(_x(at, len(places)), 2), y=_TOP + _AREA[1] + 14, text_anchor="middle")
        for at in range(0, len(places), step)
    ]


def _band(curve: Curve, number: int, of: int) -> Markup:
    known = [(at, value) for at, value in enumerate(curve.values) if value is not None]
    if not curve.joined or len(known) < 2:
        return join([_whisker(value, number, _x(at, of)) for at, value in known])
    upper = [f"{_x(at, of):.1f},{_y(value.high):.1f}" for at, value in known]
    lower = [f"{_x(at, of):.1f},{_y(value.low):.1f}" for at, value in reversed(known)]
    return element("polygon", class_=f"band series-{number % STYLES}", points=" ".join(upper + lower))


def _whisker(value: Value, number: int, x: float) -> Markup:
    """Interval of a value that stands alone."""
    ends = {"x1": round(x, 1), "x2": round(x, 1), "y1": round(_y(value.low), 1), "y2": round(_y(value.high), 1)}
    return element("line", class_=f"curve series-{number % STYLES}", **ends)


def _line(curve: Curve, number: int, of: int) -> Markup:
    known = [(_x(at, of), _y(value.value)) for at, value in enumerate(curve.values) if value is not None]
    style = f"series-{number % STYLES}"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
    marks = [element("circle", class_=f"dot {style}", cx=round(x, 1), cy=round(y, 1), r=_MARK) for x, y in known]
    line = element("polyline", class_=f"curve {style}", points=points) if curve.joined and len(known) > 1 else None
    return join(line, marks)


def _legend(shown: Sequence[Curve]) -> Markup:
    items = [element("li", _key(number), curve.name) for number, curve in enumerate(shown)]
    return element("ul", items, class_="legend")


def _key(number: int) -> Markup:
    style = f"series-{number % STYLES}"
    line = element("line", class_=f"curve {style}", x1=0, x2=26, y1=5, y2=5)
    dot = element("circle", class_=f"dot {style}", cx=13, cy=5, r=_MARK)
    return element("svg", line, dot, viewBox="0 0 26 10", class_="curve-key", aria_hidden="true", focusable="false")


def _table(title: str, places: Sequence[str], shown: Sequence[Curve], unit: str) -> Markup:
    columns = [TableColumn(unit), *(TableColumn(curve.name, figures=True) for curve in shown)]
    rows: list[list[Child]] = [[place, *(_figure(curve, at) for curve in shown)] for at, place in enumerate(places)]
    return table(f"{title}, with 95 % intervals", columns, rows)


def _figure(curve: Curve, at: int) -> Child:
    value = curve.values[at]
    if value is None:
        return NONE
    return detail(interval(value), curve.counts[at]) if curve.counts else interval(value)
