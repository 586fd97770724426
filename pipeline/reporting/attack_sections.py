"""Attack sections of a report: success by budget, and transfer to held-out models."""

from __future__ import annotations

from hardset.pipeline.judging.transfer_counts import transfer_rates
from hardset.pipeline.reporting.charts import bar
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.sections import Content, numbered
from hardset.pipeline.reporting.tables import TableColumn, aside, table
from hardset.pipeline.reporting.wording import amount, percent


def budgets(content: Content) -> Markup | None:
    """Success by budget; None if no attack has several budgets, or resisting rows were dropped."""
    if content.statistics.only_successes:
        return None
    rows: list[list[Child]] = [
        [numbered(recipe), f"eps {amount(eps, recipe.text['norm'])}", *_success(success, attacked)]
        for recipe in content.statistics.attacks
        for eps, (attacked, success) in zip(recipe.budgets, recipe.by_budget, strict=False)
    ]
    if not rows:
        return None
    columns = (TableColumn("Recipe"), TableColumn("Budget"), TableColumn("Success", figures=True))
    note = "A row that fools the model at one budget counts as a success at every larger budget."
    return join(table("Success by budget", columns, rows), element("p", note, class_="soft"))


def _success(success: int, attacked: int) -> list[Child]:
    if not attacked:
        return ["none attacked"]
    share = success / attacked
    return [join(aside(percent(share), f"{success:,} of {attacked:,}"), bar(share))]


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
