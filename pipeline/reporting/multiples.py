"""Small multiples: one narrow bar chart per figure over the same nights, as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Markup, element, join

_WIDTH, _HEIGHT = 260, 96
_TOP, _BOTTOM = 8, 16
_TALL = _HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True)
class Multiple:
    """One figure over time."""

    name: str
    values: Sequence[float | None]
    """Values from the oldest to the newest; None where the figure is not known."""
    words: Callable[[float], str]
    """Function that says a value with its unit."""
    whole: float | None = None
    """Value at the top of the chart, such as 1 for shares; None: the largest value."""


def multiples(shown: Sequence[Multiple], nights: Sequence[str]) -> Markup:
    """Charts side by side; those without two known values are left out. `nights`: their names, oldest first."""
    drawn = [_drawn(one, nights) for one in shown if sum(value is not None for value in one.values) > 1]
    return element("div", drawn, class_="multiples")


def _drawn(one: Multiple, nights: Sequence[str]) -> Markup:
    known = [value for value in one.values if value is not None]
    top = one.whole or max(known) or 1.0
    width = _WIDTH / len(nights)
    bars = [
        element(
            "rect",
            element("title", f"{night}: {one.words(value)}"),
            class_="night last" if at == len(nights) - 1 else "night",
            x=round(at * width + min(2.0, width * 0.12), 2),
            y=round(_TOP + _TALL * (1 - value / top), 2),
            width=round(width - 2 * min(2.0, width * 0.12), 2),
            height=round(max(0.75, _TALL * value / top), 2),
        )
        for at, (night, value) in enumerate(zip(nights, one.values, strict=True))
        if value is not None
    ]
    ground = element("line", class_="axis", x1=0, x2=_WIDTH, y1=_TOP + _TALL, y2=_TOP + _TALL)
    ends = join(
        element("text", nights[0], x=0, y=_HEIGHT - 3),
        element("text", nights[-1], x=_WIDTH, y=_HEIGHT - 3, text_anchor="end"),
    )
    label = f"{one.name} by night: from {one.words(known[0])} to {one.words(known[-1])}; the figures are in the table"
    svg = element("svg", bars, ground, ends, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)
    change = f", {_change(known[-2], known[-1])}"
    caption = element("figcaption", one.name, element("span", one.words(known[-1]), change, class_="detail"))
    return element("figure", caption, svg, class_="chart")


def _change(before: float, now: float) -> str:
    """Change against the night before, as `+3.1 %`."""
    if before == now:
        return "unchanged"
    if not before:
        return "before 0"
    return f"{100 * (now - before) / before:+.1f}\N{NO-BREAK SPACE}%"
