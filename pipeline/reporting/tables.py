"""Accessible tables: scrollable by keyboard, named for screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Child, Markup, element, join


@dataclass(frozen=True)
class TableColumn:
    """Heading of a column, and whether it holds figures."""

    heading: Child
    figures: bool = False

    @property
    def style(self) -> str | None:
        return "number" if self.figures else None


def table(caption: str, columns: Sequence[TableColumn], rows: Iterable[Sequence[Child]]) -> Markup:
    """A table whose first cells are row headings."""
    head = element("tr", [element("th", c.heading, scope="col", class_=c.style) for c in columns])
    body = [
        element(
            "tr",
            element("th", cells[0], scope="row", class_=columns[0].style),
            [element("td", cell, class_=column.style) for cell, column in zip(cells[1:], columns[1:], strict=True)],
        )
        for cells in rows
    ]
    drawn = element("table", element("caption", caption), element("thead", head), element("tbody", body))
    return element("div", drawn, class_="wide", tabindex=0, role="region", aria_label=caption)


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
