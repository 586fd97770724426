"""Key figures at the top of a report."""

from __future__ import annotations

from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.markup import Markup, element
from hardset.pipeline.reporting.wording import class_name, counted, percent
from hardset.pipeline.statistics.recipe_statistics import RowCounts, Statistics
from hardset.schemas.records.clean import CleanAccuracy


def key_figures(content: Content) -> Markup:
    """Row of key figures at the top."""
    statistics = content.statistics
    totals = statistics.manifest.totals
    kinds = ", ".join(f"{rows:,} {kind}" for kind, rows in sorted(statistics.kinds.items()))
    shown: list[tuple[str, str, str]] = [("Rows stored", f"{totals.rows_out:,}", kinds or "none")]
    if statistics.attacks:
        fooled = f"{totals.success:,} of {counted(totals.attacked, 'attacked row')}"
        shown.append(("Attack success", percent(totals.success_rate), fooled))
    clean = clean_accuracy(statistics)
    if clean is not None:
        right, judged = clean
        shown.append(_accuracy_cell(CleanAccuracy.of(right, judged), "clean row", _only_class(statistics)))
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


def _accuracy_cell(clean: CleanAccuracy, what: str, only: str | None = None) -> tuple[str, str, str]:
    """`only`: name of the class that all rows are of; their share is then no accuracy of the model, nor called so."""
    span = f"95 % interval {percent(clean.low)} to {percent(clean.high)}"
    name = "Clean accuracy" if only is None else f"Class {only} read rightly"
    return name, percent(clean.share), f"{clean.right:,} of {counted(clean.judged, what)}; {span}"


def _only_class(statistics: Statistics) -> str | None:
    """Name of the only class with judged clean rows, in a dataset of several classes; None if there are more."""
    names = statistics.manifest.classes
    judged = {label for r in statistics.attacks for label, tally in enumerate(r.by_class) if tally.clean_judged}
    return class_name(names, judged.pop()) if len(judged) == 1 and len(names) > 1 else None


def clean_accuracy(statistics: Statistics) -> tuple[int, int] | None:
    """Numbers of (correct, judged) clean rows of the attack recipe with the most; None if rows were dropped."""
    tallies = [recipe.tally for recipe in statistics.attacks]
    widest = max(tallies, key=lambda tally: tally.clean_judged, default=RowCounts())
    if statistics.only_successes or not widest.clean_judged:
        return None
    return widest.clean_right, widest.clean_judged
