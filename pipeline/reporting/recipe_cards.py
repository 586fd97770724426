"""Cards of a report: what each recipe made, how often it worked, and what it changed."""

from __future__ import annotations

from collections.abc import Iterator

from hardset.pipeline.reporting.charts import bar
from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import detail
from hardset.pipeline.reporting.wording import counted, number, percent, recipe_details
from hardset.pipeline.statistics.histogram import Histogram
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics
from hardset.pipeline.statistics.shares import share
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.rows.contract import ADVERSARIAL


def recipe_cards(content: Content) -> Markup:
    """A card per recipe, in the order of the job."""
    only_successes = content.statistics.only_successes
    cards = [element("li", _card(recipe, only_successes)) for recipe in content.statistics.recipes]
    note = (
        "Success: of the rows that the model predicted rightly before the attack (for targeted attacks, of all rows), "
        "the share whose stored 8-bit image fools it (is predicted as the target). Accuracy: stored images predicted "
        "as labelled. In grey: 95 % intervals. These figures describe the rows; the robustness of a model is measured "
        "by fresh attacks on it."
    )
    return join(element("ul", cards, class_="cards"), element("p", note, class_="soft"))


def _card(recipe: RecipeStatistics, only_successes: bool) -> Markup:
    pairs = [
        element("div", element("dt", name), element("dd", value)) for name, value in _figures(recipe, only_successes)
    ]
    return join(
        element("h3", numbered(recipe)),
        element("p", ", ".join(filter(None, (recipe.kind or "no rows", recipe_details(recipe.text)))), class_="soft"),
        element("dl", pairs),
    )


def _figures(recipe: RecipeStatistics, only_successes: bool) -> Iterator[tuple[str, Child]]:
    counts, tally = recipe.counts, recipe.tally
    yield "Rows", f"{tally.rows:,}"
    if counts.success_rate is not None and not only_successes:
        yield "Success", join(_interval(counts.success, counts.attacked), bar(counts.success_rate))
    if tally.judged:
        yield "Accuracy", _interval(tally.right, tally.judged)
    if recipe.kind == ADVERSARIAL and len(recipe.margins):
        clean, stored = (_median(values) for values in (recipe.clean_margins, recipe.margins))
        yield "Median margin", f"{clean} → {stored}"
        yield "Median change", _change(recipe)
    if len(recipe.steps) and recipe.steps.quantile(0.95) > 0:
        low, high = (number(recipe.steps.quantile(at)) for at in (0.05, 0.95))
        yield "Steps spent", low if low == high else f"{low} to {high}"
    if counts.quarantined:
        yield "Quarantined", f"{counts.quarantined:,}"
    if counts.dropped:
        yield "Left out", counted(counts.dropped, "resisting row")


def _interval(rows: int, of: int) -> Markup:
    """A share with its counts, and its interval on a line of its own."""
    found = share(rows, of)
    first = join(element("strong", percent(found.value)), " ", element("span", f"{rows:,} of {of:,}", class_="soft"))
    return detail(first, f"{100 * found.low:.1f} to {100 * found.high:.1f}")


def _change(recipe: RecipeStatistics) -> str:
    """The middle size of the changes in the recipe's own norm."""
    if recipe.norm == STORED_NORMS["linf"]:
        return f"{_median(recipe.linf_levels)} of 255 levels"
    return f"{_median(recipe.l1 if recipe.norm == STORED_NORMS['l1'] else recipe.l2)} in {recipe.norm or 'L2'}"


def _median(values: Histogram) -> str:
    return number(values.quantile(0.5), 3)
