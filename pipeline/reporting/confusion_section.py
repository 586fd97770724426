"""Section of a report on what attacked rows are taken for: prediction before, prediction after."""

from __future__ import annotations

from collections import Counter

from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.heat import counted_cells, heat_map
from hardset.pipeline.reporting.markup import Markup, element, join
from hardset.pipeline.reporting.tables import Cell, Figure, TableColumn, table
from hardset.pipeline.reporting.wording import class_name, clipped, percent
from hardset.pipeline.statistics.attack_tallies import Confusion

MOST_CLASSES = 20
"""Maximum number of classes for a matrix; with more, the most frequent confusions are listed."""
_MOST_FLOWS = 50
_MOST_RECIPES = 8


def confusion(content: Content) -> Markup | None:
    """Predictions on clean pixels by predictions on stored images, over all attacks and for each; None without any."""
    statistics = content.statistics
    attacks = [recipe for recipe in statistics.attacks if recipe.confusion]
    if not attacks:
        return None
    total: Counter[tuple[int, int]] = Counter()
    for recipe in attacks:
        total.update(recipe.confusion)
    names = statistics.manifest.classes
    text = (
        "Where the attacked rows go: a line is what the model saw in the clean pixels, a column what it sees in the "
        "stored image. On the diagonal it did not change its mind."
    )
    single = [
        element("details", element("summary", numbered(recipe)), _drawn(numbered(recipe), recipe.confusion, names))
        for recipe in attacks[:_MOST_RECIPES]
    ]
    return join(
        element("p", text, class_="soft"),
        _drawn("All attacks" if len(attacks) > 1 else numbered(attacks[0]), total, names),
        single if len(attacks) > 1 else None,
    )


def _drawn(title: str, found: Confusion, names: tuple[str, ...]) -> Markup:
    caption = f"{title}: rows by prediction, clean to stored"
    return _matrix(caption, found, names) if len(names) <= MOST_CLASSES else _flows(caption, found, names)


def _matrix(caption: str, found: Confusion, names: tuple[str, ...]) -> Markup:
    rows = []
    for before, name in enumerate(names):
        counts = [found.get((before, after), 0) for after in range(len(names))]
        rows.append((clipped(name, 20), counted_cells(counts)))
    return heat_map(caption, "Clean", [clipped(name, 12) for name in names], rows, diagonal=True)


def _flows(caption: str, found: Confusion, names: tuple[str, ...]) -> Markup:
    """The most frequent changes of mind, with their share of the rows that started from the same class."""
    of: Counter[int] = Counter()
    for (before, _), rows in found.items():
        of[before] += rows
    moved = [(rows, pair) for pair, rows in found.items() if pair[0] != pair[1]]
    moved.sort(key=lambda one: (-one[0], one[1]))
    columns = (
        TableColumn("Clean"),
        TableColumn("Stored"),
        TableColumn("Rows", figures=True),
        TableColumn("Of the class", figures=True),
    )
    lines: list[list[Cell]] = [
        [
            class_name(names, before),
            class_name(names, after),
            Figure(f"{rows:,}", rows),
            Figure(percent(rows / of[before]), rows / of[before]),
        ]
        for rows, (before, after) in moved[:_MOST_FLOWS]
    ]
    few = f", the {_MOST_FLOWS} most frequent of {len(moved):,} changes" if len(moved) > _MOST_FLOWS else ""
    return table(f"{caption}{few}", columns, lines, sortable=True, folds=True)
