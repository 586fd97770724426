"""Table of a report by class: rows of each kind, how often attacks succeed, how often made rows are read rightly."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.charts import bar
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import Cell, Figure, TableColumn, aside, detail, table
from hardset.pipeline.reporting.wording import NONE, class_name, clipped, percent
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics, RowCounts, Statistics
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED

MOST_CLASSES = 2_000
"""Maximum number of rows of the table."""
_MOST_BARS = 100
"""Number of classes above which figures have no bars, to keep the page light."""
_MOST_ATTACKS = 8
"""Maximum number of attacks with a column of their own."""


def classes(content: Content) -> Markup | None:
    """Rows, success and accuracy by class, the class most often fooled first."""
    statistics = content.statistics
    names = statistics.manifest.classes
    attacks = () if statistics.only_successes else statistics.attacks
    own = attacks[:_MOST_ATTACKS] if len(attacks) > 1 else ()
    ranked = sorted(range(len(names)), key=lambda label: _rank(statistics, attacks, label))
    shown = ranked[:MOST_CLASSES]
    kinds = [kind for kind in (ADVERSARIAL, AUGMENTED, GENERATED) if statistics.kinds.get(kind)]
    columns = [TableColumn("Class")]
    columns += [TableColumn("Fooled", figures=True)] if attacks else []
    columns += [TableColumn(detail(f"Recipe {r.position + 1}", _short(r)), figures=True) for r in own]
    columns += [TableColumn(_kind_heading(statistics, kind), figures=True) for kind in kinds]
    bars = len(names) <= _MOST_BARS
    rows: list[list[Cell]] = []
    for label in shown:
        cells: list[Cell] = [class_name(names, label)]
        if attacks:
            fooled = _sum(attacks, label)
            cells.append(_share(fooled.success, fooled.attacked, bars))
        cells += [_share(r.by_class[label].success, r.by_class[label].attacked, bars) for r in own]
        rows.append([*cells, *(_made(statistics, kind, label) for kind in kinds)])
    return join(
        [element("p", text, class_="soft") for text in _notes(statistics, shown, len(own))],
        table("Rows and success by class" if attacks else "Rows by class", columns, rows, sortable=True, folds=True),
    )


def _notes(statistics: Statistics, shown: Sequence[int], own: int) -> list[str]:
    names, found = statistics.manifest.classes, list[str]()
    if statistics.only_successes:
        found.append("No success by class: the job left resisting rows out.")
    elif statistics.attacks:
        found.append("The class that attacks fool most often comes first. Press a heading to sort by it.")
    if len(shown) < len(names):
        found.append(f"{len(shown):,} of {len(names):,} classes.")
    if own and own < len(statistics.attacks):
        found.append(f"Columns of the first {own} of {len(statistics.attacks)} attacks; Fooled counts them all.")
    return found


def _rank(statistics: Statistics, attacks: Sequence[RecipeStatistics], label: int) -> tuple[float, float, int]:
    """Sort key of a class: most often fooled first, then most often misread."""
    fooled = _sum(attacks, label).success_rate
    made = _sum([recipe for recipe in statistics.recipes if recipe not in attacks], label)
    return -1.0 if fooled is None else -1.0 - fooled, made.right / made.judged if made.judged else 1.0, label


def _of_kind(statistics: Statistics, kind: str) -> list[RecipeStatistics]:
    return [recipe for recipe in statistics.recipes if recipe.kind == kind]


def _sum(recipes: Sequence[RecipeStatistics], label: int) -> RowCounts:
    return sum((recipe.by_class[label] for recipe in recipes if recipe.by_class), RowCounts())


def _kind_heading(statistics: Statistics, kind: str) -> Child:
    return detail(kind.capitalize(), "read rightly" if _is_read(statistics, kind) else "rows")


def _is_read(statistics: Statistics, kind: str) -> bool:
    """Whether rows of the kind are told by how often they are read rightly; attacks are told by success."""
    return kind != ADVERSARIAL and any(recipe.tally.judged for recipe in _of_kind(statistics, kind))


def _made(statistics: Statistics, kind: str, label: int) -> Figure:
    """Rows of a kind, with how often they are read rightly where that is told."""
    made = _sum(_of_kind(statistics, kind), label)
    if _is_read(statistics, kind):
        return _share(made.right, made.judged, bars=False)
    return Figure(f"{made.rows:,}" if made.rows else NONE, made.rows)


def _share(rows: int, of: int, bars: bool) -> Figure:
    if not of:
        return Figure(element("span", "none", class_="soft"), None)
    shown: Child = aside(percent(rows / of), f"{rows:,} of {of:,}")
    return Figure(join(shown, bar(rows / of)) if bars else shown, rows / of)


def _short(recipe: RecipeStatistics) -> str:
    return clipped(recipe.op.replace("_", " "), 24)
