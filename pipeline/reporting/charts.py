"""Charts as inline SVG: coloured by classes of the style sheet, and described in words for screen readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Markup, element, join
from hardset.pipeline.reporting.tables import detail
from hardset.pipeline.reporting.wording import counted, number
from hardset.pipeline.statistics.histogram import Histogram

_WIDTH, _HEIGHT = 340, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 12, 40
_MOST_BARS = 64
_AREA = (_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)


@dataclass(frozen=True)
class Series:
    """One histogram of a chart."""

    name: str
    values: Histogram
    style: str
    """CSS class of the style sheet."""


def bar(share: float | None, *, style: str = "bar") -> Markup | None:
    """A small bar for a share in [0, 1]; decorates a figure, so it is hidden from screen readers."""
    if share is None:
        return None
    return element(
        "svg",
        element("rect", class_="bar-ground", width=100, height=6, rx=1),
        element("rect", class_=style, width=round(100 * share, 2), height=6, rx=1),
        class_="meter",
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        aria_hidden="true",
        focusable="false",
    )


def histogram(
    title: str, series: Sequence[Series], unit: str, *, subtitle: str = "", mark: float | None = None
) -> Markup:
    """Histograms on one axis, as shares of their values, with a line at `mark`. `unit`: label of the axis."""
    shown = [one for one in series if len(one.values)]
    if not shown:
        return Markup("")
    exponent = max(one.values.exponent for one in shown)
    while _reach(shown, exponent, mark) > _MOST_BARS:
        exponent += 1
    whole = all(one.values.exact for one in shown) and exponent == 0
    binned = [Series(one.name, one.values.coarsened(exponent), one.style) for one in shown]
    low, high = _span(binned, exponent, mark)
    top = max(max(one.values.bins.values()) / len(one.values) for one in binned)
    axis = _Axis(low, high, math.ldexp(1.0, exponent), _round_up(top), 0.5 if whole else 0.0)
    drawing = join(
        _grid(axis),
        [rect for one in binned for rect in _bars(one, axis)],
        _line(axis, mark),
        _ticks(axis),
        element("text", unit, class_="unit", x=_LEFT + _AREA[0] / 2, y=_HEIGHT - 5, text_anchor="middle"),
    )
    label = f"Histogram of {title}{', ' + subtitle if subtitle else ''}; its figures follow"
    svg = element("svg", drawing, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)
    return element(
        "figure",
        element("figcaption", detail(title, subtitle)),
        svg,
        element("p", _words(shown), class_="chart-words"),
        class_="chart",
    )


def legend(series: Sequence[tuple[str, str]]) -> Markup:
    """Legend of series names and colours. `series`: pairs of (name, style)."""
    return element("ul", [element("li", element("span", class_=f"key {s}"), n) for n, s in series], class_="legend")


@dataclass(frozen=True)
class _Axis:
    low: int
    high: int
    """One past the last bin."""
    width: float
    top: float
    shift: float
    """Offset of a bin's start from its number, in bins: 0.5 for bins that hold one integer, else 0."""

    def x(self, place: float) -> float:
        """Horizontal position of a bin number, which may be fractional."""
        return _LEFT + (place + self.shift - self.low) / (self.high - self.low) * _AREA[0]

    def y(self, share: float) -> float:
        return _TOP + _AREA[1] * (1 - share / self.top)


def _span(series: Sequence[Series], exponent: int, mark: float | None) -> tuple[int, int]:
    """First bin and one past the last, with room for the mark; at least five bins."""
    numbers = [n for one in series for n in one.values.coarsened(exponent).bins]
    low, high = min(numbers), max(numbers) + 1
    if mark is not None:
        place = math.ldexp(mark, -exponent)
        low, high = min(low, math.floor(place)), max(high, math.ceil(place) + 1)
    positive = low >= 0
    while high - low < 5:
        high += 1
        low -= 0 if positive and low == 0 else 1
    return low, high


def _reach(series: Sequence[Series], exponent: int, mark: float | None) -> int:
    low, high = _span(series, exponent, mark)
    return high - low


def _bars(one: Series, axis: _Axis) -> list[Markup]:
    total = len(one.values)
    gap = min(1.0, _AREA[0] / (axis.high - axis.low) * 0.15)
    return [
        element(
            "rect",
            class_=one.style,
            x=round(axis.x(n - axis.shift) + gap / 2, 2),
            y=round(axis.y(count / total), 2),
            width=round(axis.x(1) - axis.x(0) - gap, 2),
            height=round(axis.y(0) - axis.y(count / total), 2),
        )
        for n, count in sorted(one.values.bins.items())
    ]


def _grid(axis: _Axis) -> list[Markup]:
    lines = []
    for share in (0.0, axis.top / 2, axis.top):
        y = round(axis.y(share), 2)
        style = "axis" if share == 0 else "gridline"
        lines.append(element("line", class_=style, x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
        lines.append(element("text", f"{share * 100:.3g} %", x=_LEFT - 5, y=y + 3.5, text_anchor="end"))
    return lines


def _ticks(axis: _Axis) -> list[Markup]:
    low, high = axis.low * axis.width, axis.high * axis.width
    step = _tick((high - low) / 5, whole=axis.shift > 0)
    first = math.ceil(low / step - 1e-9)
    places = [i * step for i in range(first, first + 12) if i * step <= high - axis.shift + 1e-9 * step]
    return [
        element(
            "text", number(value), x=round(axis.x(value / axis.width), 2), y=_TOP + _AREA[1] + 14, text_anchor="middle"
        )
        for value in places
    ]


def _line(axis: _Axis, mark: float | None) -> Markup | None:
    if mark is None:
        return None
    x = round(axis.x(mark / axis.width), 2)
    return element("line", class_="mark", x1=x, x2=x, y1=_TOP - 4, y2=_TOP + _AREA[1])


def _tick(value: float, *, whole: bool) -> float:
    """Smallest of 1, 2, 5 times a power of ten that is not below `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-9))
    return max(1.0, step) if whole else step


def _round_up(value: float) -> float:
    """Smallest of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is not below `value`."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if value <= step * power * (1 + 1e-9))


def _words(series: Sequence[Series]) -> str:
    sentences = []
    for one in series:
        low, middle, high = (number(one.values.quantile(share), 3) for share in (0.05, 0.5, 0.95))
        most = f"at {low}" if low == high else f"between {low} and {high}"
        sentences.append(f"{one.name}: median {middle}, 90 % {most} ({counted(len(one.values), 'row')}).")
    return " ".join(sentences)
