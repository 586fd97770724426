"""Curves as inline SVG: values in [0, 1] at named positions with intervals, and the figures in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, detail, table
from hardset.pipeline.reporting.wording import NONE, percent

STYLES = 6
"""Number of distinct colours, dashes and marks; further curves reuse them."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 36, 12, 40
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
    main: bool = False
    """Whether the curve stands out from the others."""


@dataclass(frozen=True)
class Frame:
    """Size of a chart, in units of its view box, and the number of places on its horizontal axis."""

    places: int
    width: int = 460
    height: int = 220
    ticks: int = 8
    """Maximum number of places that are named on the axis."""

    def x(self, place: int) -> float:
        """Horizontal position of a place; a single place lies in the middle."""
        inner = self.width - _LEFT - _RIGHT
        return _LEFT + (inner * place / (self.places - 1) if self.places > 1 else inner / 2)

    def y(self, value: float) -> float:
        """Vertical position of a value."""
        return _TOP + (self.height - _TOP - _BOTTOM) * (1 - value)


def curves(
    title: str,
    places: Sequence[str],
    shown: Sequence[Curve],
    unit: str,
    *,
    subtitle: str = "",
    ticks: Sequence[str] | None = None,
    small: bool = False,
    keyed: bool = True,
) -> Markup:
    """Curves over the same evenly spaced `places`, with a legend and a table of figures.

    `unit`: label of the axis. `ticks`: names of the places on the axis, where they differ from those in the table.
    `small`: for a grid of many charts. `keyed`: whether several curves have a legend.
    """
    frame = Frame(len(places), 300, 190, 6) if small else Frame(len(places))
    drawing = join(
        _grid(frame),
        [_intervals(curve, number, frame) for number, curve in enumerate(shown)],
        [_line(curve, number, frame) for number, curve in enumerate(shown)],
        _ticks(places if ticks is None else ticks, frame),
        element("text", unit, class_="unit", x=frame.width / 2, y=frame.height - 5, text_anchor="middle"),
    )
    label = f"Curves of {title}{', ' + subtitle if subtitle else ''}; their figures are in the table that follows"
    svg = element("svg", drawing, viewBox=f"0 0 {frame.width} {frame.height}", role="img", aria_label=label)
    return element(
        "figure",
        element("figcaption", detail(title, subtitle)),
        svg,
        legend(shown) if keyed and len(shown) > 1 else None,
        element("details", element("summary", "Figures"), _table(title, places, shown, unit)),
        class_="chart" if small else "chart wide-chart",
    )


def legend(shown: Sequence[Curve]) -> Markup:
    """Names of curves with their colours, dashes and marks."""
    items = [element("li", _key(curve, number), curve.name) for number, curve in enumerate(shown)]
    return element("ul", items, class_="legend")


def interval(value: Value) -> Markup:
    """A value with its interval, as `93.1 % (90.2 to 95.1)`."""
    soft = element("span", f"{100 * value.low:.1f} to {100 * value.high:.1f}", class_="soft")
    return join(percent(value.value), " ", soft)


def _style(curve: Curve, number: int) -> str:
    return "series-main" if curve.main else f"series-{number % STYLES}"


def _grid(frame: Frame) -> list[Markup]:
    lines = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = round(frame.y(value), 2)
        style = "axis" if value == 0 else "gridline"
        lines.append(element("line", class_=style, x1=_LEFT, x2=frame.width - _RIGHT, y1=y, y2=y))
        lines.append(element("text", f"{value * 100:.0f} %", x=_LEFT - 5, y=y + 3.5, text_anchor="end"))
    return lines


def _ticks(places: Sequence[str], frame: Frame) -> list[Markup]:
    step, y = -(-len(places) // frame.ticks), frame.height - _BOTTOM + 14
    return [
        element("text", places[at], x=round(frame.x(at), 2), y=y, text_anchor="middle")
        for at in range(0, len(places), step)
    ]


def _known(curve: Curve) -> list[tuple[int, Value]]:
    return [(at, value) for at, value in enumerate(curve.values) if value is not None]


def _intervals(curve: Curve, number: int, frame: Frame) -> Markup:
    """Band of a curve that is joined, whiskers of other values."""
    known, style = _known(curve), _style(curve, number)
    if not curve.joined or len(known) < 2:
        return join([_whisker(value, style, frame.x(at), frame) for at, value in known])
    upper = [f"{frame.x(at):.1f},{frame.y(value.high):.1f}" for at, value in known]
    lower = [f"{frame.x(at):.1f},{frame.y(value.low):.1f}" for at, value in reversed(known)]
    return element("polygon", class_=f"band {style}", points=" ".join(upper + lower))


def _whisker(value: Value, style: str, x: float, frame: Frame) -> Markup:
    ends = {
        "x1": round(x, 1),
        "x2": round(x, 1),
        "y1": round(frame.y(value.low), 1),
        "y2": round(frame.y(value.high), 1),
    }
    return element("line", class_=f"curve {style}", **ends)


def _line(curve: Curve, number: int, frame: Frame) -> Markup:
    known = [(frame.x(at), frame.y(value.value)) for at, value in _known(curve)]
    style = _style(curve, number)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
    marks = [element("circle", class_=f"dot {style}", cx=round(x, 1), cy=round(y, 1), r=_MARK) for x, y in known]
    line = element("polyline", class_=f"curve {style}", points=points) if curve.joined and len(known) > 1 else None
    return join(line, marks)


def _key(curve: Curve, number: int) -> Markup:
    style = _style(curve, number)
    line = element("line", class_=f"curve {style}", x1=0, x2=26, y1=5, y2=5) if curve.joined else None
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
