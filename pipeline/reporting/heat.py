"""Matrices as tables with cells shaded by value; the cells contain the numbers, so colour is not needed."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.markup import Child, Markup, element

SHADES = 10
"""Number of shades: CSS classes heat-0 to heat-10 of the style sheet."""


def heat_map(
    caption: str,
    corner: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[Child, float | None]]]],
    *,
    diagonal: bool = False,
) -> Markup:
    """Table with shaded cells.

    `rows`: heading, and for every column the cell's content and its value in [0, 1] (None: not shaded). `diagonal`:
    whether high values are good only on the diagonal, as in confusion matrices; otherwise they are good everywhere.
    """
    head = [
        element("th", corner, scope="col"),
        *(element("th", name, scope="col", class_="number") for name in columns),
    ]
    body = [
        element(
            "tr",
            element("th", name, scope="row"),
            [_cell(*cell, good=not diagonal or at == number) for at, cell in enumerate(cells)],
        )
        for number, (name, cells) in enumerate(rows)
    ]
    drawn = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
        class_="heat",
    )
    return element("div", drawn, class_="wide", tabindex=0, role="region", aria_label=caption)


def counted_cells(counts: Sequence[int]) -> list[tuple[Child, float | None]]:
    """Cells of a line of numbers, shaded by their share of the line; those of 0 stay empty."""
    whole = sum(counts)
    return [(f"{count:,}", count / whole) if count else ("", None) for count in counts]


def _cell(shown: Child, value: float | None, *, good: bool) -> Markup:
    shade = "" if value is None else f" {'good' if good else 'bad'} heat-{round(SHADES * min(1.0, max(0.0, value)))}"
    return element("td", shown, class_=f"number{shade}")
