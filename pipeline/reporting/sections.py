"""Sections of a report: functions from its content to HTML, or to None if there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hardset.pipeline.judging.masking import flag_counts
from hardset.pipeline.reporting.charts import Series, bar, histogram, legend
from hardset.pipeline.reporting.examples import Example
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.notices import Notice, notices
from hardset.pipeline.reporting.tables import TableColumn, aside, detail, table
from hardset.pipeline.reporting.wording import NONE, class_name, clipped, counted, percent, recipe_details, recipe_title
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics, RowCounts, Statistics
from hardset.schemas.norms import STORED_NORMS, Norm
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED
from hardset.schemas.rows.flags import FLAGS

MOST_CLASSES = 40
"""Maximum number of rows in the table of classes."""
MOST_REASONS = 30
MOST_CHARTS = 12


@dataclass(frozen=True)
class Content:
    """Content of a run's report."""

    statistics: Statistics
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """Example rows by recipe id."""


@dataclass(frozen=True)
class Section:
    """A heading with its anchor, and the function that builds its content."""

    anchor: str
    heading: str
    build: Callable[[Content], Markup | None]


def key_figures(content: Content) -> Markup:
    """Row of key figures at the top."""
    statistics = content.statistics
    totals = statistics.manifest.totals
    kinds = ", ".join(f"{rows:,} {kind}" for kind, rows in sorted(statistics.kinds.items()))
    shown: list[tuple[str, str, str]] = [("Rows stored", f"{totals.rows_out:,}", kinds or "none")]
    if statistics.attacks:
        rate = totals.success / totals.attacked if totals.attacked else None
        fooled = f"{totals.success:,} of {counted(totals.attacked, 'attacked row')}"
        shown.append(("Attack success", percent(rate), fooled))
    clean = clean_accuracy(statistics)
    if clean is not None:
        right, judged = clean
        shown.append(_accuracy_cell(CleanAccuracy.of(right, judged), "clean row"))
    elif statistics.manifest.clean is not None:
        shown.append(_accuracy_cell(statistics.manifest.clean, "sampled row"))
    shown.append(("Quarantined", f"{totals.quarantined:,}", f"of {counted(totals.expected, 'row')} due"))
    done, failed = len(statistics.manifest.outputs), len(statistics.manifest.failures)
    shown.append(("Shards done", f"{done:,}", f"of {done + failed:,}"))
    cells = [
        element(
            "div",
            element("dt", name),
            element("dd", value, class_="value"),
            element("dd", note, class_="note"),
        )
        for name, value, note in shown
    ]
    return element("dl", cells, class_="figures")


def _accuracy_cell(clean: CleanAccuracy, what: str) -> tuple[str, str, str]:
    span = f"95 % interval {percent(clean.low)} to {percent(clean.high)}"
    return "Clean accuracy", percent(clean.share), f"{clean.right:,} of {counted(clean.judged, what)}; {span}"


def clean_accuracy(statistics: Statistics) -> tuple[int, int] | None:
    """Numbers of (correct, judged) clean rows of the attack recipe with the most; None if rows were dropped."""
    tallies = [recipe.tally for recipe in statistics.attacks]
    widest = max(tallies, key=lambda tally: tally.clean_judged, default=RowCounts())
    if statistics.only_successes or not widest.clean_judged:
        return None
    return widest.clean_right, widest.clean_judged


def warnings(content: Content) -> Markup | None:
    """Notices: warnings and notes."""
    found = notices(content.statistics)
    return element("ul", [_notice(notice) for notice in found], class_="notices") if found else None


def _notice(notice: Notice) -> Markup:
    word = "Warning: " if notice.warning else "Note: "
    return element("li", element("strong", word), notice.text, class_="warning" if notice.warning else None)


def signals(content: Content) -> Markup | None:
    """Warnings of the run, and the flags of its rows; None without warnings."""
    statistics = content.statistics
    if not statistics.manifest.warnings:
        return None
    listed = [element("li", text, class_="warning") for text in statistics.manifest.warnings]
    columns = (TableColumn("Recipe"), TableColumn("Flag"), TableColumn("Attacked rows", figures=True))
    rows: list[list[Child]] = [
        [numbered(recipe), detail(flag, FLAGS[flag].meaning), aside(f"{count:,}", f"of {recipe.counts.attacked:,}")]
        for recipe in statistics.attacks
        for flag, count in flag_counts(recipe.counts).items()
    ]
    flagged = table("Flags that attacked rows carry", columns, rows) if rows else None
    return join(element("ul", listed, class_="notices"), flagged)


def recipes(content: Content) -> Markup:
    """Table of rows, success and accuracy by recipe."""
    columns = (
        TableColumn("Recipe"),
        TableColumn("Kind"),
        TableColumn("Rows", figures=True),
        TableColumn("Success", figures=True),
        TableColumn("Accuracy", figures=True),
        TableColumn("Quarantined", figures=True),
    )
    rows = [_recipe_row(recipe) for recipe in content.statistics.recipes]
    note = (
        "Success: of the rows that the model predicted rightly before the attack (for targeted attacks, of all rows), "
        "the share whose stored 8-bit image fools it (is predicted as the target). Accuracy: stored images predicted "
        "as labelled. These figures describe the rows; the robustness of a model is measured by fresh attacks on it."
    )
    return join(table("What each recipe made", columns, rows), element("p", note, class_="soft"))


def _recipe_row(recipe: RecipeStatistics) -> list[Child]:
    counts, tally = recipe.counts, recipe.tally
    rate = counts.success / counts.attacked if counts.attacked else None
    fooled: Child = NONE
    if rate is not None:
        fooled = join(aside(percent(rate), f"{counts.success:,} of {counts.attacked:,}"), bar(rate))
    read: Child = NONE
    if tally.judged:
        read = aside(percent(tally.right / tally.judged), f"{tally.right:,} of {tally.judged:,}")
    name = detail(numbered(recipe), recipe_details(recipe.text))
    return [name, recipe.kind or "none", f"{tally.rows:,}", fooled, read, f"{counts.quarantined:,}"]


def numbered(recipe: RecipeStatistics) -> str:
    """Numbered title, as `1. PGD, Linf, eps 8/255`."""
    return f"{recipe.position + 1}. {clipped(recipe_title(recipe.text))}"


def classes(content: Content) -> Markup | None:
    """Rows and success by class."""
    statistics = content.statistics
    names = statistics.manifest.classes
    attacks = () if statistics.only_successes else statistics.attacks
    shown = _classes_shown(statistics)
    columns = [TableColumn("Class")]
    columns += [TableColumn(f"{kind.capitalize()} rows", figures=True) for kind in (ADVERSARIAL, AUGMENTED, GENERATED)]
    columns += [TableColumn(detail(f"Recipe {r.position + 1}", _short(r)), figures=True) for r in attacks]
    rows = [[class_name(names, label), *_class_cells(statistics, attacks, label)] for label in shown]
    caption = "Rows and success by class"
    parts: list[Child] = []
    if statistics.only_successes:
        parts.append(element("p", "No success by class: the job left resisting rows out.", class_="soft"))
        caption = "Rows by class"
    if len(shown) < len(names):
        text = f"{len(shown)} of {len(names):,} classes, from the lowest success to the highest."
        parts.append(element("p", text, class_="soft"))
    return join(*parts, table(caption, columns, rows))


def _class_cells(statistics: Statistics, attacks: tuple[RecipeStatistics, ...], label: int) -> list[Child]:
    cells: list[Child] = []
    for kind in (ADVERSARIAL, AUGMENTED, GENERATED):
        made = [r.by_class[label].rows for r in statistics.recipes if r.kind == kind]
        cells.append(f"{sum(made):,}" if made else NONE)
    for recipe in attacks:
        tally = recipe.by_class[label]
        text = f"{tally.success:,} of {tally.attacked:,}" if tally.attacked else "none attacked"
        cells.append(join(aside(percent(tally.success_rate), text), bar(tally.success_rate)))
    return cells


def _classes_shown(statistics: Statistics) -> list[int]:
    """All classes; if there are too many, the attacked ones with the lowest and the highest success."""
    labels = list(range(len(statistics.manifest.classes)))
    if len(labels) <= MOST_CLASSES:
        return labels
    tallies = [sum((r.by_class[label] for r in statistics.attacks if r.by_class), RowCounts()) for label in labels]
    ranked = sorted((tallies[label].success_rate or 0.0, label) for label in labels if tallies[label].attacked)
    if not ranked:
        return labels[:MOST_CLASSES]
    if len(ranked) > MOST_CLASSES:
        ranked = ranked[: MOST_CLASSES // 2] + ranked[-(MOST_CLASSES // 2) :]
    return [label for _, label in ranked]


def _short(recipe: RecipeStatistics) -> str:
    return clipped(recipe.op.replace("_", " "), 24)


def margins(content: Content) -> Markup | None:
    """Margins of the model before and after."""
    attacks = [recipe for recipe in content.statistics.attacks if len(recipe.margins)][:MOST_CHARTS]
    if not attacks:
        return None
    charts = [
        histogram(
            numbered(recipe),
            [
                Series("Clean", recipe.clean_margins, "before"),
                Series("Stored", recipe.margins, "after"),
            ],
            "margin, logits",
            mark=0.0,
        )
        for recipe in attacks
    ]
    text = "Logit of the label minus the best other logit. Left of the dashed line, at 0, the model errs."
    key = legend([("Clean pixels", "before"), ("Stored image", "after")])
    return join(element("p", text, class_="soft"), key, element("div", charts, class_="charts"))


def norms(content: Content) -> Markup | None:
    """Norms of the changes."""
    attacks = [recipe for recipe in content.statistics.attacks if len(recipe.l2)][: MOST_CHARTS // 2]
    if not attacks:
        return None
    charts = [
        histogram(numbered(recipe), [Series("Stored", values, "plain")], unit, subtitle=name, mark=mark)
        for recipe in attacks
        for name, values, unit, mark in (
            ("Largest change of a value", recipe.linf_levels, "8-bit levels", _budget(recipe, "linf")),
            ("Sum of the changes", recipe.l1, "[0, 1] pixel scale", _budget(recipe, "l1"))
            if recipe.norm == STORED_NORMS["l1"]
            else ("Euclidean norm of the change", recipe.l2, "[0, 1] pixel scale", _budget(recipe, "l2")),
        )
    ]
    text = "Change from clean to stored pixels. Dashed: the largest budget of the recipe, in its own norm."
    return join(element("p", text, class_="soft"), element("div", charts, class_="charts pairs"))


def _budget(recipe: RecipeStatistics, norm: Norm) -> float | None:
    if recipe.eps is None or recipe.norm != STORED_NORMS[norm]:
        return None
    return recipe.eps[1] * (255 if norm == "linf" else 1)


def losses(content: Content) -> Markup | None:
    """Quarantined rows and failed shards."""
    tables = [_quarantine(content.statistics), _failures(content.statistics)]
    return join(tables) if any(tables) else None


def _quarantine(statistics: Statistics) -> Markup | None:
    if not statistics.quarantine:
        return None
    columns = (
        TableColumn("Reason"),
        TableColumn("Stage"),
        TableColumn("Rows", figures=True),
        TableColumn("First such row"),
    )
    rows: list[list[Child]] = [
        [
            clipped(reason.error_class),
            reason.stage,
            f"{reason.rows:,}",
            element("span", detail(clipped(reason.source_key, 200), clipped(reason.message, 200)), class_="wrap"),
        ]
        for reason in statistics.quarantine[:MOST_REASONS]
    ]
    return table("Rows in quarantine, by reason", columns, rows)


def _failures(statistics: Statistics) -> Markup | None:
    failures = statistics.manifest.failures
    if not failures:
        return None
    columns = (TableColumn("Shard"), TableColumn("Attempts", figures=True), TableColumn("Last error"))
    rows: list[list[Child]] = [
        [f"{failure.index:,}", f"{failure.attempts:,}", element("span", clipped(failure.error, 300), class_="wrap")]
        for failure in failures[:MOST_REASONS]
    ]
    return table("Shards that failed", columns, rows)
