"""Attack sections of a report: success by budget, and transfer to held-out models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hardset.pipeline.judging.transfer_counts import transfer_rates
from hardset.pipeline.reporting.charts import bar
from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.curves import Curve, Value, curves
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, aside, table
from hardset.pipeline.reporting.wording import amount, number, percent
from hardset.pipeline.statistics.attack_tallies import Tally
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics
from hardset.pipeline.statistics.shares import share


def budgets(content: Content) -> Markup | None:
    """Success by budget: a curve for each attack with several budgets or a range of them.

    None without such an attack, or if resisting rows were dropped.
    """
    if content.statistics.only_successes:
        return None
    several = [recipe for recipe in content.statistics.attacks if len(recipe.by_budget) > 1]
    ranges = [recipe for recipe in content.statistics.attacks if len(recipe.by_part) > 1]
    if not several and not ranges:
        return None
    charts = [
        _curve(
            recipe, [f"eps {amount(eps, recipe.text['norm'])}" for eps in recipe.budgets], recipe.by_budget, "budget"
        )
        for recipe in several
    ]
    charts += [_curve(recipe, _parts(recipe), recipe.by_part, _unit(recipe)) for recipe in ranges]
    notes = []
    if several and all(map(_takes_over, several)):
        notes.append("A row that fools the model at one budget counts as a success at every larger budget.")
    if ranges:
        notes.append("Where each row draws its budget from a range, rows are counted by the part of it they drew.")
    return join(element("p", " ".join(notes), class_="soft"), element("div", charts, class_="charts two"))


def _takes_over(recipe: RecipeStatistics) -> bool:
    """Whether a fall at one budget is taken over by the larger ones. Texts of recipes leave a chain unsaid."""
    return bool(recipe.text.get("chain", True)) and recipe.text.get("stop") == "success"


def _curve(recipe: RecipeStatistics, places: Sequence[str], tallies: Sequence[Tally], unit: str) -> Markup:
    found = [share(success, attacked) if attacked else None for attacked, success in tallies]
    values = tuple(None if one is None else Value(one.value, one.low, one.high) for one in found)
    counts = [f"{success:,} of {attacked:,}" for attacked, success in tallies]
    return curves(numbered(recipe), places, [Curve("Success", values, tuple(counts))], unit)


def _parts(recipe: RecipeStatistics) -> list[str]:
    scale = 255 if recipe.text["norm"] == "linf" else 1
    return [f"{number(low * scale)}\N{EN DASH}{number(high * scale)}" for low, high in pairwise(recipe.parts)]


def _unit(recipe: RecipeStatistics) -> str:
    return "eps, in 8-bit levels" if recipe.text["norm"] == "linf" else "eps"


def transfer(content: Content) -> Markup | None:
    """Transfer rates by recipe and held-out model; None without held-out models."""
    rows: list[list[Child]] = [
        [numbered(recipe), name, join(aside(percent(fooled / of), f"{fooled:,} of {of:,}"), bar(fooled / of))]
        for recipe in content.statistics.attacks
        for name, (fooled, of) in transfer_rates(recipe.counts.signals).items()
    ]
    if not rows:
        return None
    columns = (TableColumn("Recipe"), TableColumn("Held-out model"), TableColumn("Fooled", figures=True))
    note = (
        "Of the attacked rows that the held-out model predicted rightly before the attack (for targeted attacks, of "
        "all attacked rows), the share whose stored image it gets wrong (predicts as the target). No attack has seen "
        "these models."
    )
    return join(table("How far the attacks transfer", columns, rows), element("p", note, class_="soft"))
