"""Plots as inline SVG: values of any size over numbers, such as losses over steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.curves import STYLES, Curve, legend
from hardset.pipeline.reporting.markup import Markup, element, join
from hardset.pipeline.reporting.tables import detail
from hardset.pipeline.reporting.wording import number

_WIDTH, _HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 12, 40
_AREA = (_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)
_PARTS = 4  # of each axis, between its ticks


@dataclass(frozen=True)
class Line:
    """One line through points (x, y), by rising x."""

    name: str
    points: tuple[tuple[float, float], ...]


def plot(title: str, lines: Sequence[Line], unit: str, *, subtitle: str = "") -> Markup:
    """Lines over a common axis from 0, whose `unit` stands below; at least one point. Values below 0 widen the axis."""
    low = min(0.0, *(y for line in lines for _, y in line.points))
    high = max(y for line in lines for _, y in line.points)
    last = max(x for line in lines for x, _ in line.points)
    axes = _Axes(last or 1.0, low, high if high > low else low + 1)
    drawing = join(
        _grid(axes),
        [_line(line, place, axes) for place, line in enumerate(lines)],
        element("text", unit, class_="unit", x=_LEFT + _AREA[0] / 2, y=_HEIGHT - 5, text_anchor="middle"),
    )
    ends = "; ".join(f"{line.name} ends at {number(line.points[-1][1], 3)}" for line in lines)
    svg = element(
        "svg", drawing, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"{title} by {unit}: {ends}"
    )
    caption = element("figcaption", detail(title, subtitle))
    names = legend([Curve(line.name, ()) for line in lines]) if len(lines) > 1 else None
    return element("figure", caption, svg, names, class_="chart wide-chart")


@dataclass(frozen=True)
class _Axes:
    last: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return round(_LEFT + _AREA[0] * value / self.last, 1)

    def y(self, value: float) -> float:
        return round(_TOP + _AREA[1] * (self.high - value) / (self.high - self.low), 1)


def _grid(axes: _Axes) -> list[Markup]:
    drawn = []
    for part in range(_PARTS + 1):
        value = axes.low + (axes.high - axes.low) * part / _PARTS
        y, style = axes.y(value), "axis" if part == 0 else "gridline"
        drawn.append(element("line", class_=style, x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
        drawn.append(element("text", number(value, 3), x=_LEFT - 5, y=y + 3.5, text_anchor="end"))
        at = axes.last * part / _PARTS
        drawn.append(
            element("text", number(at), x=axes.x(at), y=_TOP + _AREA[1] + 14, text_anchor="middle"),
        )
    return drawn


def _line(line: Line, place: int, axes: _Axes) -> Markup:
    points = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line.points)
    return element("polyline", class_=f"curve series-{place % STYLES}", points=points)
