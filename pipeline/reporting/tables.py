"""Accessible tables: scrollable by keyboard, named for screen readers; sorted and folded where the script runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Child, Markup, element, join

FOLD = 10
"""Number of rows of a folding table that are open at first; the style sheet counts them too."""


@dataclass(frozen=True)
class TableColumn:
    """Heading of a column, and whether it holds figures."""

    heading: Child
    figures: bool = False

    @property
    def style(self) -> str | None:
        return "number" if self.figures else None


@dataclass(frozen=True)
class Figure:
    """A cell and the number that its column is sorted by; None sorts last."""

    shown: Child
    value: float | None


Cell = Child | Figure


def table(
    caption: str,
    columns: Sequence[TableColumn],
    rows: Iterable[Sequence[Cell]],
    *,
    sortable: bool = False,
    folds: bool = False,
) -> Markup:
    """A table whose first cells are row headings.

    `sortable`: readers may sort it by any column. `folds`: only its first `FOLD` rows are open at first.
    """
    head = element("tr", [element("th", c.heading, scope="col", class_=c.style) for c in columns])
    body = [
        element(
            "tr",
            _cell("th", cells[0], columns[0], scope="row"),
            [_cell("td", cell, column) for cell, column in zip(cells[1:], columns[1:], strict=True)],
        )
        for cells in rows
    ]
    drawn = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", body),
        class_="sortable" if sortable else None,
        data_fold=FOLD if folds else None,
    )
    return element("div", drawn, class_="wide", tabindex=0, role="region", aria_label=caption)


def _cell(name: str, cell: Cell, column: TableColumn, scope: str | None = None) -> Markup:
    if not isinstance(cell, Figure):
        return element(name, cell, scope=scope, class_=column.style)
    value = "" if cell.value is None else f"{cell.value:.9g}"
    return element(name, cell.shown, scope=scope, class_=column.style, data_value=value)


def facts(caption: str, rows: Iterable[tuple[str, Child]]) -> Markup:
    """A table of names and values. Rows without a value are left out."""
    body = [
        element("tr", element("th", name, scope="row"), element("td", value))
        for name, value in rows
        if value is not None and value != ""
    ]
    return element("table", element("caption", caption), element("tbody", body), class_="facts")


def aside(first: Child, second: Child) -> Markup:
    """Two texts on one line, the second one muted."""
    return join(first, " ", element("span", second, class_="soft"))


def detail(first: Child, second: Child) -> Markup:
    """Two lines in one cell, the second one muted."""
    return join(first, element("span", second, class_="detail") if second else None)
