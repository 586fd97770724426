"""Histograms of a report: margins of the model, and sizes of the changes."""

from __future__ import annotations

from hardset.pipeline.reporting.charts import Series, histogram, legend
from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.markup import Markup, element, join
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics
from hardset.schemas.norms import STORED_NORMS, Norm

MOST_CHARTS = 12


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
